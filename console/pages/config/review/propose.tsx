/** Proposes drafts for a review. */
import { useSignal } from "@preact/signals";
import type { Proposal } from "#config-server/api";
import { ActionDialog } from "../../../components/dialog.tsx";
import { TextField } from "../../../components/field.tsx";
import { cliOf, optionWords } from "../../../data/commands.ts";
import { setQuery } from "../../../data/location.ts";
import { commonText } from "../../../text/common.ts";
import { reviewText } from "../review-text.ts";
import type { ConfigSet } from "../use-set.ts";

interface ProposeDialogProps {
  readonly set: ConfigSet;
  readonly keys: readonly string[];
  readonly onClose: () => void;
  readonly onDone: () => void;
}

export function ProposeDialog({ set, keys, onClose, onDone }: ProposeDialogProps) {
  const text = reviewText();
  const reason = useSignal("");
  return (
    <ActionDialog
      title={text.proposeTitle}
      confirm={text.propose.replace("…", "")}
      needs="config:draft"
      call={{ method: "POST", path: `${set.path}/proposals`, body: { reason: reason.value, keys } }}
      cli={cliOf("config", "propose", set.id, "--keys", ...keys, ...optionWords("--reason", reason.value))}
      done={text.proposed}
      onClose={onClose}
      onDone={(data) => {
        onDone();
        setQuery({ proposal: (data as Proposal).id });
      }}
    >
      <p>{text.proposeText}</p>
      <p class="config-keys">
        {keys.map((key) => (
          <code key={key} class="tag">
            {key}
          </code>
        ))}
      </p>
      <TextField
        label={commonText().reason}
        hint={commonText().reasonHint}
        value={reason.value}
        onInput={(value) => (reason.value = value)}
      />
    </ActionDialog>
  );
}
