/** The button that signs in by OpenID Connect, where the server offers it. It is a link, since the browser leaves the console. */
import { LogIn } from "lucide";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { SignInMethods } from "#access/api";
import { Button } from "../components/button.tsx";
import { readApi } from "../data/api.ts";
import { signInText } from "../text/sign-in.ts";

type Oidc = NonNullable<SignInMethods["oidc"]>;

/** The identity provider that the server offers; undefined until it answers, and when it offers none. */
export function useOidc(): Oidc | undefined {
  const oidc = useSignal<Oidc | undefined>(undefined);
  useEffect(() => {
    const abort = new AbortController();
    // Without an answer, the token remains.
    readApi<SignInMethods>("/ui/api/sign-in-methods", abort.signal).then(
      (methods) => (oidc.value = methods.oidc),
      () => undefined,
    );
    return () => abort.abort();
  }, [oidc]);
  return oidc.value;
}

export function SsoButton({ oidc: { issuer, path } }: { readonly oidc: Oidc }) {
  const text = signInText();
  return (
    <div class="sign-in-sso">
      <Button kind="primary" icon={LogIn} href={`${path}?return=${encodeURIComponent(here())}`}>
        {text.sso}
      </Button>
      <p class="muted">{text.ssoAt(new URL(issuer).host)}</p>
      <p class="sign-in-or">
        <span>{text.or}</span>
      </p>
    </div>
  );
}

/** The page that was opened, which follows after the sign-in. */
function here(): string {
  return `${location.pathname}${location.search}`;
}
