/** Taking a lock from its holder, with a reason for the record. */
import { useSignal } from "@preact/signals";
import type { LockRef } from "#locks/api";
import { ActionDialog } from "../../components/dialog.tsx";
import { TextField } from "../../components/field.tsx";
import { pathOf } from "../../data/api.ts";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import { commonText } from "../../text/common.ts";
import { locksText } from "./text.ts";

interface BreakLockProps {
  readonly lock: LockRef;
  readonly delaySeconds: number;
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
}

export function BreakLock({ lock: { namespace, name }, delaySeconds, onClose, onDone }: BreakLockProps) {
  const text = locksText();
  const reason = useSignal("");
  const given = reason.value.trim();
  return (
    <ActionDialog
      title={text.breakTitle(name)}
      confirm={text.break}
      isDangerous
      needs="locks:break"
      isReady={given !== ""}
      call={{ method: "POST", path: pathOf`/v1/locks/${name}/break?namespace=${namespace}`, body: { reason: given } }}
      cli={cliOf("locks", "break", name, "--reason", given, ...namespaceWords(namespace))}
      done={text.breakDone}
      onClose={onClose}
      onDone={onDone}
    >
      <p>{text.breakText(delaySeconds)}</p>
      <TextField
        label={commonText().reason}
        hint={commonText().reasonHint}
        isRequired
        value={reason.value}
        onInput={(value) => (reason.value = value)}
      />
    </ActionDialog>
  );
}
