/** Signing in: by the code of a one-time link in the URL's fragment, or by a token. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Button } from "../components/button.tsx";
import { CommandBlock } from "../components/copy.tsx";
import { TextField } from "../components/field.tsx";
import { Problem } from "../components/states.tsx";
import { ApiProblem } from "../data/api.ts";
import { signIn } from "../data/session.ts";
import { shellText } from "../text/shell.ts";
import { LanguageChoice } from "./account-menu.tsx";
import { SsoButton, useOidc } from "./sso-button.tsx";

/** The code of a sign-in link, which is removed from the URL, so that it does not stay in the browser's history. */
function takeCode(): string | undefined {
  const code = /^#\/signin\?code=(.+)$/.exec(location.hash)?.[1];
  if (code !== undefined) history.replaceState(history.state, "", `${location.pathname}${location.search}`);
  return code;
}

export function SignIn() {
  const text = shellText();
  const oidc = useOidc();
  const token = useSignal("");
  const isBusy = useSignal(false);
  const problem = useSignal<ApiProblem | undefined>(undefined);
  const isLinkUsed = useSignal(false);
  const attempt = async (by: Parameters<typeof signIn>[0]) => {
    isBusy.value = true;
    problem.value = undefined;
    try {
      await signIn(by);
    } catch (error) {
      if ("code" in by && error instanceof ApiProblem && error.status === 401) isLinkUsed.value = true;
      else problem.value = error instanceof ApiProblem ? error : new ApiProblem(0, { detail: String(error) });
    } finally {
      isBusy.value = false;
    }
  };
  useEffect(() => {
    const code = takeCode();
    if (code !== undefined) void attempt({ code });
  }, []);
  return (
    <main class="sign-in">
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          void attempt({ token: token.value.trim() });
        }}
      >
        <div class="sign-in-head">
          <img src="/ui/icon.svg" alt="" width={36} height={36} />
          <h1>posthouse</h1>
          <p class="muted">{text.signInLead}</p>
        </div>
        {isLinkUsed.value && <p class="notice">{text.linkUsed}</p>}
        {problem.value && <Problem problem={problem.value} />}
        {oidc && <SsoButton oidc={oidc} />}
        <TextField
          label={text.token}
          hint={text.tokenHint}
          type="password"
          isMono
          isRequired
          autocomplete="current-password"
          placeholder="ph_…"
          value={token.value}
          onInput={(value) => (token.value = value)}
        />
        <Button kind={oidc ? "normal" : "primary"} type="submit" isDisabled={isBusy.value || token.value.trim() === ""}>
          {isBusy.value ? text.signInBusy : text.signIn}
        </Button>
        <div class="sign-in-foot">
          <p class="muted">{text.signInAgain}</p>
          <CommandBlock command="npx posthouse console" />
        </div>
      </form>
      <LanguageChoice />
    </main>
  );
}
