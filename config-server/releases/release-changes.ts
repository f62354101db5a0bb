/** The entries that releases and steps of rollouts add to the log of changes. */
import { decodeJson } from "#base";
import type { ChangeKind, StoredChange } from "#changes";
import type { ReleaseSummary, RolloutView, SetName } from "../api.ts";
import type { LiveRecord, Rollout, Step } from "../core/rollout.ts";

/** The changes that a release makes: itself, and the end of the rollout that it supersedes. */
export function releaseChanges(
  release: ReleaseSummary,
  live: { readonly value: Uint8Array } | undefined,
  isRollout: boolean,
): StoredChange[] {
  const { version, author, reason, createdAt: at, rollbackOf } = release;
  const before = live && decodeJson<LiveRecord>(live.value);
  const subject = subjectOf(release);
  const kind = isRollout ? "rollout-started" : rollbackOf === undefined ? "config-released" : "config-rolled-back";
  const change: StoredChange = {
    at,
    kind,
    subject,
    by: author,
    reason,
    version,
    ...(before ? { from: String(before.version) } : {}),
    ...(rollbackOf === undefined ? {} : { to: String(rollbackOf) }),
  };
  if (!before?.rollout) return [change];
  const superseded: ChangeKind = "rollout-superseded";
  return [change, { at, kind: superseded, subject, by: author, reason, version: before.rollout.version }];
}

/** The change that a step of a rollout makes. */
export function rolloutChange(
  name: SetName,
  step: { readonly what: Step; readonly because: string; readonly by: string | undefined; readonly atMs: number },
  { rollout, ended }: { readonly rollout: Rollout; readonly ended: RolloutView | undefined },
): StoredChange {
  const { what, because, by, atMs } = step;
  return {
    at: new Date(atMs).toISOString(),
    kind: kindOf(what, ended),
    subject: subjectOf(name),
    ...(by === undefined ? {} : { by }),
    reason: because,
    version: rollout.version,
    from: String(rollout.stage + 1),
    ...(what === "next" || what === "promote" ? { to: String(rollout.stage + 2) } : {}),
  };
}

function kindOf(what: Step, ended: RolloutView | undefined): ChangeKind {
  if (ended) {
    if (ended.state === "completed") return "rollout-completed";
    return ended.state === "superseded" ? "rollout-superseded" : "rollout-rolled-back";
  }
  if (what === "resume") return "rollout-resumed";
  return what === "next" || what === "promote" ? "rollout-advanced" : "rollout-paused";
}

function subjectOf({ namespace, app, profile }: SetName): StoredChange["subject"] {
  return { type: "set", namespace, app, profile };
}
