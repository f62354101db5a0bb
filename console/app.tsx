/** The console: sign-in, or the frame with the page that the URL names. */
import { CircleX, Compass, Lock } from "lucide";
import { useSignal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useCallback, useEffect, useErrorBoundary } from "preact/hooks";
import { ErrorBoundary, lazy, LocationProvider, Route, Router, useLocation } from "preact-iso";
import { Button } from "./components/button.tsx";
import { EmptyState } from "./components/states.tsx";
import { Toasts } from "./components/toast.tsx";
import { sessionState } from "./data/api.ts";
import { startFeed } from "./data/feed.ts";
import { syncQuery } from "./data/location.ts";
import { can } from "./data/session.ts";
import type { PageRow } from "./pages/page.ts";
import { PAGES } from "./pages/mod.ts";
import { Palette } from "./shell/palette.tsx";
import { ShortcutsDialog, useShortcuts } from "./shell/shortcuts.tsx";
import { Sidebar } from "./shell/sidebar.tsx";
import { SignIn } from "./shell/sign-in.tsx";
import { OfflineBanner, Topbar } from "./shell/topbar.tsx";
import { shellText } from "./text/shell.ts";

export function App() {
  const state = sessionState.value;
  if (state.kind === "loading") return null;
  if (state.kind === "out") return <SignIn />;
  return (
    <LocationProvider scope="/ui">
      <SignedIn key={state.session.name} />
    </LocationProvider>
  );
}

function SignedIn() {
  const isMenuOpen = useSignal(false);
  const isSearching = useSignal(false);
  const isHelpOpen = useSignal(false);
  const search = useCallback(() => (isSearching.value = true), [isSearching]);
  const help = useCallback(() => (isHelpOpen.value = true), [isHelpOpen]);
  useShortcuts({ search, help });
  useEffect(startFeed, []);
  return (
    <div class="shell">
      <a class="skip" href="#content">
        {shellText().skip}
      </a>
      <Sidebar isOpen={isMenuOpen.value} onClose={() => (isMenuOpen.value = false)} />
      <div class="main">
        <Topbar onMenu={() => (isMenuOpen.value = true)} onSearch={search} />
        <OfflineBanner />
        <main id="content" class="content" tabIndex={-1}>
          <Pages />
        </main>
      </div>
      <Toasts />
      {isSearching.value && <Palette onClose={() => (isSearching.value = false)} />}
      {isHelpOpen.value && <ShortcutsDialog onClose={() => (isHelpOpen.value = false)} />}
    </div>
  );
}

const ROUTES = PAGES.flatMap((page) => {
  const Page = guarded(page, lazy(page.load));
  return [`/ui/${page.id}`, ...(page.paths ?? []).map((path) => `/ui${path}`)].map((path) => ({ path, Page }));
});

function Pages() {
  const { url } = useLocation();
  useEffect(syncQuery, [url]);
  return (
    <ErrorBoundary>
      <Router>
        {ROUTES.map(({ path, Page }) => (
          <Route key={path} path={path} component={Page} />
        ))}
        <Route default component={NotFound} />
      </Router>
    </ErrorBoundary>
  );
}

/** A page that its role may see, whose failure leaves the frame as it is. */
function guarded(page: PageRow, Page: ComponentType): ComponentType {
  return function GuardedPage() {
    const text = shellText();
    const [error, reset] = useErrorBoundary((cause: unknown) => console.error(cause));
    useEffect(() => {
      document.title = `${page.title()} · posthouse`;
    });
    if (page.needs !== undefined && !can(page.needs)) {
      return (
        <EmptyState icon={Lock} title={text.forbidden}>
          {page.needs}
        </EmptyState>
      );
    }
    if (error !== undefined) {
      return (
        <EmptyState icon={CircleX} title={text.failed} action={<Button onClick={reset}>{text.reload}</Button>}>
          {text.failedText}
        </EmptyState>
      );
    }
    return <Page />;
  };
}

function NotFound() {
  const text = shellText();
  return (
    <EmptyState icon={Compass} title={text.notFound}>
      {text.notFoundText}
    </EmptyState>
  );
}
