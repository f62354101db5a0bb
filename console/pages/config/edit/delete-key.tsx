/** Deletes a key: released at once, or drafted for a review. */
import { useSignal } from "@preact/signals";
import { ActionDialog } from "../../../components/dialog.tsx";
import { Segmented, TextField } from "../../../components/field.tsx";
import { cliOf, optionWords } from "../../../data/commands.ts";
import { setQuery } from "../../../data/location.ts";
import { can } from "../../../data/session.ts";
import { commonText } from "../../../text/common.ts";
import { releaseCallOf } from "../core/changes.ts";
import { releaseText } from "../release-text.ts";
import { setText } from "../set-text.ts";
import type { ConfigSet } from "../use-set.ts";

interface DeleteKeyDialogProps {
  readonly set: ConfigSet;
  readonly name: string;
  readonly onClose: () => void;
}

export function DeleteKeyDialog({ set, name, onClose }: DeleteKeyDialogProps) {
  const text = setText();
  const isDirect = can("config:publish") && !set.needsReview;
  const how = useSignal<"release" | "draft">(isDirect ? "release" : "draft");
  const reason = useSignal("");
  const isRelease = how.value === "release";
  const draftCall = {
    method: "PUT",
    path: `${set.path}/drafts/${encodeURIComponent(name)}`,
    body: { remove: true },
  } as const;
  const releaseCall = releaseCallOf({
    path: set.path,
    changes: { [name]: null },
    live: set.live?.items ?? {},
    version: set.summary?.version ?? 0,
    reason: reason.value,
    isEmergency: false,
    rollout: undefined,
  });
  return (
    <ActionDialog
      title={text.deleteTitle(name)}
      confirm={isRelease ? text.deleteKey : text.draftRemoval}
      isDangerous={isRelease}
      needs={isRelease ? "config:publish" : "config:draft"}
      call={isRelease ? releaseCall : draftCall}
      cli={
        isRelease
          ? cliOf("config", "delete", set.id, name, ...optionWords("--reason", reason.value))
          : cliOf("config", "drafts", "set", set.id, name, "--remove")
      }
      done={isRelease ? releaseText().released : text.draftSaved}
      onClose={onClose}
      onDone={async () => {
        await set.reload();
        if (isRelease) setQuery({ key: "" });
        else setQuery({ tab: "review" });
      }}
    >
      <p>{text.deleteText}</p>
      <p class="muted">{text.deleteFallback}</p>
      {isDirect && (
        <Segmented
          label={releaseText().how}
          value={how.value}
          options={[
            ["release", releaseText().atOnce],
            ["draft", text.draftRemoval],
          ]}
          onChange={(next) => (how.value = next)}
        />
      )}
      {isRelease && (
        <TextField
          label={commonText().reason}
          hint={commonText().reasonHint}
          value={reason.value}
          onInput={(value) => (reason.value = value)}
        />
      )}
    </ActionDialog>
  );
}
