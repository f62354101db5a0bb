/** Releasing changed rules after a look at the differences, or saving them as a draft for a review. */
import { useSignal } from "@preact/signals";
import { ActionDialog } from "../../components/dialog.tsx";
import { DiffView } from "../../components/diff-view.tsx";
import { TextField } from "../../components/field.tsx";
import { cliOf, namespaceWords } from "../../data/commands.ts";
import type { ConfigSource, TextDraft } from "../../data/config-text.ts";
import { commonText } from "../../text/common.ts";
import { RULES_APP, RULES_KEY, ruleDrafts, rulesPath } from "./data.ts";
import { rulesText } from "./text.ts";

interface ReleaseDialogProps {
  readonly source: ConfigSource;
  readonly draft: TextDraft;
  readonly onClose: () => void;
  readonly onDone: () => Promise<void>;
}

export function ReleaseDialog({ source, draft: { namespace, text: value }, onClose, onDone }: ReleaseDialogProps) {
  const text = rulesText();
  const reason = useSignal("");
  const why = reason.value.trim();
  const { items, version } = source;
  return (
    <ActionDialog
      title={text.releaseTitle}
      confirm={text.releaseConfirm}
      needs="config:publish"
      width="60rem"
      call={{
        method: "POST",
        path: `${rulesPath(namespace)}/releases`,
        body: {
          items: { ...items, [RULES_KEY]: { ...items[RULES_KEY], format: "yaml", value } },
          expectedVersion: version,
          ...(why === "" ? {} : { reason: why }),
        },
      }}
      cli={cliOf(
        "config",
        "put",
        RULES_APP,
        RULES_KEY,
        RULES_KEY,
        "--cas",
        String(version),
        ...(why === "" ? [] : ["--reason", why]),
        ...namespaceWords(namespace),
      )}
      done={text.releaseDone}
      onClose={onClose}
      onDone={async () => {
        await onDone();
        ruleDrafts.current.value = undefined;
      }}
    >
      <p class="muted">{text.releaseText}</p>
      <DiffView before={source.text} after={value} format="yaml" labels={[text.released(source.version), text.yours]} />
      <TextField
        label={commonText().reason}
        hint={commonText().reasonHint}
        value={reason.value}
        onInput={(next) => (reason.value = next)}
      />
    </ActionDialog>
  );
}

interface SaveDraftDialogProps {
  readonly draft: TextDraft;
  readonly onClose: () => void;
}

export function SaveDraftDialog({ draft: { namespace, text: value }, onClose }: SaveDraftDialogProps) {
  const text = rulesText();
  return (
    <ActionDialog
      title={text.draftTitle}
      confirm={text.saveDraft}
      needs="config:draft"
      call={{
        method: "PUT",
        path: `${rulesPath(namespace)}/drafts/${RULES_KEY}`,
        body: { format: "yaml", value },
      }}
      cli={cliOf("config", "drafts", "set", RULES_APP, RULES_KEY, RULES_KEY, ...namespaceWords(namespace))}
      done={text.draftDone}
      onClose={onClose}
    >
      <p>{text.draftText}</p>
    </ActionDialog>
  );
}
