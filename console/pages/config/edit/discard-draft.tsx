/** Discards the reader's draft of a key. */
import { ActionDialog } from "../../../components/dialog.tsx";
import { cliOf } from "../../../data/commands.ts";
import { setText } from "../set-text.ts";
import type { ConfigSet } from "../use-set.ts";

interface DiscardDraftDialogProps {
  readonly set: ConfigSet;
  readonly name: string;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

export function DiscardDraftDialog({ set, name, onClose, onDone }: DiscardDraftDialogProps) {
  const text = setText();
  return (
    <ActionDialog
      title={`${text.discardDraft}: ${name}`}
      confirm={text.discardDraft}
      isDangerous
      needs="config:draft"
      call={{ method: "DELETE", path: `${set.path}/drafts/${encodeURIComponent(name)}` }}
      cli={cliOf("config", "drafts", "rm", set.id, name)}
      done={text.draftDiscarded}
      onClose={onClose}
      onDone={async () => {
        await set.reload();
        onDone();
      }}
    >
      <p>{text.discardText}</p>
    </ActionDialog>
  );
}
