/** The last look before a release: what changes, why, and whether instances receive it at once or in stages. */
import { useSignal } from "@preact/signals";
import type { Difference, Items } from "#config-server/api";
import { ActionDialog } from "../../../components/dialog.tsx";
import { CheckField, Segmented, TextField } from "../../../components/field.tsx";
import { callApi } from "../../../data/api.ts";
import { cliOf } from "../../../data/commands.ts";
import { commonText } from "../../../text/common.ts";
import { type KeyChanges, releaseCallOf } from "../core/changes.ts";
import { FIRST_ROLLOUT, type RolloutFields as Fields, rolloutOf, rolloutWords } from "../core/rollout-plan.ts";
import { releaseText } from "../release-text.ts";
import { setText } from "../set-text.ts";
import type { ConfigSet } from "../use-set.ts";
import { Differences } from "./differences.tsx";
import { RolloutFields } from "./rollout-fields.tsx";

interface ReleaseDialogProps {
  readonly set: ConfigSet;
  readonly changes: KeyChanges;
  /** The version that the changes were made on. */
  readonly version: number;
  /** Keys whose drafts the release makes needless. */
  readonly drafts: readonly string[];
  readonly onClose: () => void;
  readonly onDone: () => void;
}

export function ReleaseDialog({ set, changes, version, drafts, onClose, onDone }: ReleaseDialogProps) {
  const text = releaseText();
  const reason = useSignal("");
  const how = useSignal<How>("once");
  const isEmergency = useSignal(false);
  const fields = useSignal(FIRST_ROLLOUT);
  const live = set.live?.items ?? {};
  const rollout = how.value === "stages" ? rolloutOf(fields.value) : undefined;
  const isBlocked = (set.needsReview || set.summary?.rollout !== undefined) && !isEmergency.value;
  const isReady =
    !isBlocked && (how.value === "once" || rollout !== undefined) && (!isEmergency.value || reason.value.trim() !== "");
  return (
    <ActionDialog
      title={text.title}
      width="min(72rem, 94vw)"
      confirm={how.value === "stages" ? text.start : text.release}
      needs="config:publish"
      isReady={isReady}
      done={how.value === "stages" ? text.started : text.released}
      call={releaseCallOf({
        path: set.path,
        changes,
        live,
        version,
        reason: reason.value,
        isEmergency: isEmergency.value,
        rollout,
      })}
      cli={cliFor(set, changes, reason.value, rollout && rolloutWords(rollout))}
      onClose={() => {
        void set.reload();
        onClose();
      }}
      onDone={async () => {
        await Promise.all(drafts.map((key) => discard(set.path, key)));
        await set.reload();
        onDone();
      }}
    >
      <Differences of={differencesOf(changes, live)} labels={[setText().liveSide, setText().mine]} />
      <TextField
        label={commonText().reason}
        hint={isEmergency.value ? text.emergencyReason : commonText().reasonHint}
        value={reason.value}
        isRequired={isEmergency.value}
        onInput={(value) => (reason.value = value)}
      />
      <ReleaseNotes set={set} isEmergency={isEmergency.value} onEmergency={(isOn) => (isEmergency.value = isOn)} />
      <ReleaseHow
        isFirst={version === 0}
        how={how.value}
        fields={fields.value}
        onHow={(next) => (how.value = next)}
        onFields={(next) => (fields.value = next)}
      />
    </ActionDialog>
  );
}

type How = "once" | "stages";

interface ReleaseHowProps {
  /** A first release has no instances to begin with. */
  readonly isFirst: boolean;
  readonly how: How;
  readonly fields: Fields;
  readonly onHow: (how: How) => void;
  readonly onFields: (fields: Fields) => void;
}

function ReleaseHow({ isFirst, how, fields, onHow, onFields }: ReleaseHowProps) {
  const text = releaseText();
  return (
    <>
      {!isFirst && (
        <Segmented
          label={text.how}
          value={how}
          options={[
            ["once", text.atOnce],
            ["stages", text.gradual],
          ]}
          onChange={onHow}
        />
      )}
      {how === "stages" ? (
        <>
          <RolloutFields fields={fields} onChange={onFields} />
          {!rolloutOf(fields) && (
            <p class="error" role="status">
              {text.planInvalid}
            </p>
          )}
        </>
      ) : (
        <p class="muted">{text.reachesAll}</p>
      )}
    </>
  );
}

interface ReleaseNotesProps {
  readonly set: ConfigSet;
  readonly isEmergency: boolean;
  readonly onEmergency: (isOn: boolean) => void;
}

/** Why a release cannot simply be made, and the way around it. */
export function ReleaseNotes({ set, isEmergency, onEmergency }: ReleaseNotesProps) {
  const text = releaseText();
  const isRolling = set.summary?.rollout !== undefined;
  if (!set.needsReview && !isRolling) return null;
  return (
    <div class="config-notice">
      {set.needsReview && <p>{text.needsReview}</p>}
      {isRolling && <p>{text.followsRollout}</p>}
      <CheckField label={text.emergency} isChecked={isEmergency} onChange={onEmergency} />
    </div>
  );
}

function differencesOf(changes: KeyChanges, live: Items): Difference[] {
  return Object.entries(changes).map(([key, item]) => {
    const before = live[key];
    return {
      key,
      kind: item === null ? "removed" : before ? "changed" : "added",
      ...(before ? { before } : {}),
      ...(item ? { after: item } : {}),
    };
  });
}

function cliFor(set: ConfigSet, changes: KeyChanges, reason: string, rollout?: readonly string[]): string | undefined {
  const [only, ...others] = Object.entries(changes);
  if (!only || others.length > 0) return undefined;
  const [key, item] = only;
  const why = reason === "" ? [] : ["--reason", reason];
  if (rollout) return cliOf("config", "rollout", "start", set.id, key, `./${key}`, ...rollout, ...why);
  return item === null
    ? cliOf("config", "delete", set.id, key, ...why)
    : cliOf("config", "put", set.id, key, `./${key}`, ...why);
}

/** A draft that is already gone is what was wanted. */
async function discard(path: string, key: string): Promise<void> {
  await callApi({ method: "DELETE", path: `${path}/drafts/${encodeURIComponent(key)}` }).catch(() => undefined);
}
