/** Keyboard shortcuts of the whole console. */
import { useEffect } from "preact/hooks";
import { useLocation } from "preact-iso";
import { Dialog } from "../components/dialog.tsx";
import { linkTo } from "../data/location.ts";
import { PAGES } from "../pages/mod.ts";
import { shellText } from "../text/shell.ts";

/** Milliseconds after `g` within which the second key counts. */
const SECOND_KEY_MS = 1_200;

interface ShortcutActions {
  readonly search: () => void;
  readonly help: () => void;
}

/** `Ctrl K` searches, `/` filters, `g` and a key open a page, `?` shows all of them. */
export function useShortcuts({ search, help }: ShortcutActions): void {
  const { route } = useLocation();
  useEffect(() => {
    let goneAt = 0;
    const onKey = (event: KeyboardEvent) => {
      // Keys that an input method composes are text, also where no field has the focus.
      if (event.isComposing) return;
      const isSearch = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k";
      if (isSearch) {
        event.preventDefault();
        return search();
      }
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (target.closest("input, textarea, select, [contenteditable], dialog")) return;
      if (performance.now() - goneAt < SECOND_KEY_MS) {
        goneAt = 0;
        const page = PAGES.find(({ key }) => key === event.key);
        if (page) return route(linkTo(`/${page.id}`));
      }
      if (event.key === "g") goneAt = performance.now();
      if (event.key === "?") help();
      if (event.key === "/") {
        event.preventDefault();
        document.querySelector<HTMLElement>("[data-filter]")?.focus();
      }
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [route, search, help]);
}

export function ShortcutsDialog({ onClose }: { readonly onClose: () => void }) {
  const text = shellText();
  const rows: [string, string[]][] = [
    [text.shortcutSearch, ["Ctrl", "K"]],
    [text.shortcutFilter, ["/"]],
    [text.shortcutMove, ["j", "k"]],
    [text.shortcutOpen, ["Enter"]],
    ...PAGES.flatMap(({ key, title }): [string, string[]][] => (key === undefined ? [] : [[title(), ["g", key]]])),
    [text.shortcutHelp, ["?"]],
  ];
  return (
    <Dialog title={text.shortcuts} onClose={onClose} width="26rem">
      <dl class="facts shortcuts">
        {rows.map(([name, keys]) => (
          <>
            <dt>{name}</dt>
            <dd>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dd>
          </>
        ))}
      </dl>
    </Dialog>
  );
}
