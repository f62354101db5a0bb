/** In place of a secret's text, which the console does not have: keep it, or type another one. */
import { Pencil } from "lucide";
import { Button } from "../../../components/button.tsx";
import { MASK } from "../core/names.ts";
import { setText } from "../set-text.ts";

export function SecretInput({ onBegin }: { readonly onBegin: () => void }) {
  const text = setText();
  return (
    <div class="actions">
      <pre class="config-mask" aria-label={text.secret}>
        {MASK}
      </pre>
      <Button isSmall icon={Pencil} onClick={onBegin}>
        {text.secretReplace}
      </Button>
      <span class="muted">{text.secretKept}</span>
    </div>
  );
}
