/** Rollouts that wait for a person: paused ones, and ones that failed and have no successor. */
import type { ChangeKind } from "../api.ts";
import type { ProblemDetector } from "./detector.ts";

/** Milliseconds for which a rollback is shown: a working day and a night. */
const SHOWN_MS = 86_400_000;
/** Kinds after which an earlier rollback of the set is no longer a problem. */
const ENDINGS: ReadonlySet<ChangeKind> = new Set([
  "config-released",
  "config-rolled-back",
  "rollout-started",
  "rollout-completed",
  "rollout-rolled-back",
]);

const PAUSES: ReadonlySet<ChangeKind> = new Set(["rollout-paused"]);

export const rolloutPaused: ProblemDetector = {
  kind: "rollout-paused",
  action: "config:read",
  *find({ pausedRollouts, latestChanges }) {
    for (const { set, version, stage, because } of pausedRollouts()) {
      const { namespace, app, profile } = set;
      const pause = latestChanges(PAUSES).find(
        ({ subject }) => subject.namespace === namespace && subject.app === app && subject.profile === profile,
      );
      yield {
        severity: "warning",
        subject: { type: "set", ...set },
        ...(pause === undefined ? {} : { since: pause.at }),
        text: `The rollout of release ${version} of "${namespace}/${app}/${profile}" is paused in stage ${stage + 1}: ${because}. Resume, promote or abort it.`,
        link: `/v1/config/${namespace}/${app}/${profile}/rollout`,
      };
    }
  },
};

export const rolloutRolledBack: ProblemDetector = {
  kind: "rollout-rolled-back",
  action: "config:read",
  *find({ latestChanges, nowMs }) {
    const seen = new Set<string>();
    for (const { kind, subject, at, version, reason, by } of latestChanges(ENDINGS)) {
      const { namespace, app, profile } = subject;
      const set = `${namespace}/${app}/${profile}`;
      if (seen.has(set)) continue;
      seen.add(set);
      // An operator that aborts a rollout knows of it.
      if (kind !== "rollout-rolled-back" || by !== undefined || nowMs - Date.parse(at) > SHOWN_MS) continue;
      yield {
        severity: "warning",
        subject,
        since: at,
        text: `The rollout of release ${version} of "${set}" failed and was rolled back: ${reason ?? "no reason is known"}. Fix the release and publish it again.`,
        link: `/v1/config/${set}/rollouts`,
      };
    }
  },
};
