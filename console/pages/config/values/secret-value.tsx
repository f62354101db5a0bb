/** A secret: masked, and shown for a minute once its reader has given a reason. */
import { Eye, EyeOff } from "lucide";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Revealed, SetName } from "#config-server/api";
import { Button } from "../../../components/button.tsx";
import { CodeEditor } from "../../../components/code-editor.tsx";
import { ActionDialog } from "../../../components/dialog.tsx";
import { TextField } from "../../../components/field.tsx";
import { cliOf } from "../../../data/commands.ts";
import { now } from "../../../data/time.ts";
import { commonText } from "../../../text/common.ts";
import { MASK, setIdOf, setPathOf } from "../core/names.ts";
import { setText } from "../set-text.ts";

/** Milliseconds that a revealed secret stays on the screen: long enough to compare it, in case its reader leaves. */
const SHOWN_MS = 60_000;

interface SecretValueProps {
  readonly set: SetName;
  readonly name: string;
  readonly version: number;
  readonly format: string;
}

export function SecretValue({ set, name, version, format }: SecretValueProps) {
  const text = setText();
  const isAsking = useSignal(false);
  const reason = useSignal("");
  const shown = useSignal<{ readonly value: string; readonly until: number } | undefined>(undefined);
  const left = shown.value ? Math.ceil((shown.value.until - now.value) / 1000) : 0;
  useEffect(() => {
    if (shown.value && left <= 0) shown.value = undefined;
  });
  return (
    <>
      <p class="muted">{text.secretHidden}</p>
      {shown.value && format !== "binary" ? (
        <CodeEditor label={name} format={format} value={shown.value.value} />
      ) : (
        <pre class="config-mask" aria-label={text.secret}>
          {MASK}
        </pre>
      )}
      <div class="actions">
        {shown.value ? (
          <>
            <Button isSmall icon={EyeOff} onClick={() => (shown.value = undefined)}>
              {text.hide}
            </Button>
            <span class="muted">{text.hidesIn(Math.max(0, left))}</span>
          </>
        ) : (
          <Button
            isSmall
            icon={Eye}
            needs="config:reveal"
            aria-haspopup="dialog"
            isDisabled={format === "binary"}
            onClick={() => (isAsking.value = true)}
          >
            {text.reveal}
          </Button>
        )}
      </div>
      {isAsking.value && (
        <ActionDialog
          title={text.revealTitle(name)}
          confirm={text.reveal}
          needs="config:reveal"
          isReady={reason.value.trim() !== ""}
          call={{
            method: "POST",
            path: `${setPathOf(set)}/reveal`,
            body: { key: name, version, reason: reason.value },
          }}
          cli={cliOf("config", "reveal", setIdOf(set), name, "--at", String(version), "--reason", reason.value)}
          done={text.revealed}
          onClose={() => (isAsking.value = false)}
          onDone={(data) => {
            shown.value = { value: (data as Revealed).value, until: Date.now() + SHOWN_MS };
            reason.value = "";
          }}
        >
          <TextField
            label={commonText().reason}
            hint={text.revealReason}
            value={reason.value}
            isRequired
            onInput={(value) => (reason.value = value)}
          />
        </ActionDialog>
      )}
    </>
  );
}
