/** Rolls back: the content of an earlier version is published again as a new release. */
import { useSignal } from "@preact/signals";
import type { DiffResult, Published } from "#config-server/api";
import { ActionDialog } from "../../../components/dialog.tsx";
import { TextField } from "../../../components/field.tsx";
import { Loaded } from "../../../components/states.tsx";
import { cliOf } from "../../../data/commands.ts";
import { setQuery } from "../../../data/location.ts";
import { useResource } from "../../../data/resource.ts";
import { commonText } from "../../../text/common.ts";
import { historyText } from "../history-text.ts";
import { Differences } from "../release/differences.tsx";
import { ReleaseNotes } from "../release/release-dialog.tsx";
import { releaseText } from "../release-text.ts";
import { setText } from "../set-text.ts";
import type { ConfigSet } from "../use-set.ts";

interface RollbackDialogProps {
  readonly set: ConfigSet;
  readonly version: number;
  readonly onClose: () => void;
}

export function RollbackDialog({ set, version, onClose }: RollbackDialogProps) {
  const text = historyText();
  const reason = useSignal("");
  const isEmergency = useSignal(false);
  const live = set.summary?.version ?? 0;
  const diff = useResource<DiffResult>(`${set.path}/diff?from=live&to=${version}`);
  const isBlocked = (set.needsReview || set.summary?.rollout !== undefined) && !isEmergency.value;
  return (
    <ActionDialog
      title={text.rollbackTitle(version)}
      confirm={text.rollbackConfirm}
      width="min(72rem, 94vw)"
      needs="config:publish"
      isReady={diff.data !== undefined && !isBlocked && (!isEmergency.value || reason.value.trim() !== "")}
      call={{
        method: "POST",
        path: `${set.path}/rollback`,
        body: {
          toVersion: version,
          reason: reason.value,
          expectedVersion: live,
          ...(isEmergency.value ? { emergency: true } : {}),
        },
      }}
      cli={cliOf(
        "config",
        "rollback",
        set.id,
        String(version),
        ...(reason.value === "" ? [] : ["--reason", reason.value]),
      )}
      done={text.rolledBack}
      onClose={onClose}
      onDone={async (data) => {
        await set.reload();
        setQuery({ a: String(live), b: String((data as Published).version) });
      }}
    >
      <p>{text.rollbackText(version)}</p>
      <Loaded of={diff} rows={3}>
        {({ differences }) => (
          <Differences of={differences} labels={[setText().liveSide, setText().versionSide(version)]} />
        )}
      </Loaded>
      <ReleaseNotes set={set} isEmergency={isEmergency.value} onEmergency={(isOn) => (isEmergency.value = isOn)} />
      <TextField
        label={commonText().reason}
        hint={isEmergency.value ? releaseText().emergencyReason : commonText().reasonHint}
        value={reason.value}
        onInput={(value) => (reason.value = value)}
      />
    </ActionDialog>
  );
}
