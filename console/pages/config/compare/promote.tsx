/** Takes live values to another environment. */
import { useSignal } from "@preact/signals";
import type { Proposal, Published } from "#config-server/api";
import { ActionDialog } from "../../../components/dialog.tsx";
import { TextField } from "../../../components/field.tsx";
import { showToast } from "../../../components/toast.tsx";
import { cliOf } from "../../../data/commands.ts";
import { commonText } from "../../../text/common.ts";
import { isName } from "../core/names.ts";
import { historyText } from "../history-text.ts";
import { configText } from "../text.ts";
import type { ConfigSet } from "../use-set.ts";

interface PromoteDialogProps {
  readonly set: ConfigSet;
  /** Empty: it is typed. */
  readonly target: string;
  /** Absent: the whole set. */
  readonly keys: readonly string[] | undefined;
  readonly onClose: () => void;
}

export function PromoteDialog({ set, target: first, keys, onClose }: PromoteDialogProps) {
  const text = historyText();
  const target = useSignal(first);
  const reason = useSignal("");
  const isValid = isName(target.value) && target.value !== set.name.namespace;
  return (
    <ActionDialog
      title={text.promoteTitle(target.value || "…")}
      confirm={text.promote.replace("…", "")}
      needs="config:publish"
      isReady={isValid}
      call={{
        method: "POST",
        path: `${set.path}/promote`,
        body: {
          toNamespace: target.value,
          ...(keys ? { keys } : {}),
          ...(reason.value === "" ? {} : { reason: reason.value }),
        },
      }}
      cli={cliOf(
        "config",
        "promote",
        set.id,
        "--to",
        target.value,
        ...(keys ? ["--keys", ...keys] : []),
        ...(reason.value === "" ? [] : ["--reason", reason.value]),
      )}
      done={text.promoted}
      onClose={onClose}
      onDone={async (data) => {
        if ("state" in (data as Published | Proposal)) showToast(text.proposedThere);
        await set.reload();
      }}
    >
      <p>{text.promoteText(target.value || "…")}</p>
      <p>{keys ? text.promoteSome(keys.length) : text.promoteAll}</p>
      {keys && (
        <p class="config-keys">
          {keys.map((key) => (
            <code key={key} class="tag">
              {key}
            </code>
          ))}
        </p>
      )}
      <TextField
        label={text.environment}
        hint={text.targetHint}
        isMono
        value={target.value}
        error={target.value === "" || isValid ? undefined : configText().nameInvalid}
        onInput={(value) => (target.value = value.trim())}
      />
      <TextField
        label={commonText().reason}
        hint={commonText().reasonHint}
        value={reason.value}
        onInput={(value) => (reason.value = value)}
      />
    </ActionDialog>
  );
}
