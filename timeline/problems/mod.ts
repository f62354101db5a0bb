/** The table of detectors, and the list of present problems that they make. */
import { maySee, type Principal } from "#http";
import { PROBLEMS_LISTED_MAX, type Problem, type ProblemList } from "../api.ts";
import { certificateExpiring } from "./certificate-expiring.ts";
import { configBehind, configRejected } from "./config-not-applied.ts";
import type { ProblemDetector, ProblemFacts } from "./detector.ts";
import { authorityUnusable, nodeNotRenewed } from "./identity-trouble.ts";
import { instanceCritical, instanceWarning } from "./instance-unhealthy.ts";
import { memberUnreachable } from "./member-unreachable.ts";
import { rolloutPaused, rolloutRolledBack } from "./rollout-halted.ts";
import { secretUnreadable } from "./secret-unreadable.ts";
import { serviceDown } from "./service-down.ts";
import { servicePanic } from "./service-panic.ts";
import { storeDegraded, storeUnreachable } from "./store-trouble.ts";

const DETECTORS: readonly ProblemDetector[] = [
  storeUnreachable,
  storeDegraded,
  serviceDown,
  secretUnreadable,
  certificateExpiring,
  authorityUnusable,
  nodeNotRenewed,
  servicePanic,
  configRejected,
  configBehind,
  rolloutPaused,
  rolloutRolledBack,
  memberUnreachable,
  instanceCritical,
  instanceWarning,
];

const ACTIONS = new Map(DETECTORS.map(({ kind, action }) => [kind, action]));

/** All present problems. */
export function* problemsIn(facts: ProblemFacts): Iterable<Problem> {
  for (const { kind, find } of DETECTORS) {
    for (const problem of find(facts)) {
      const { type, ...names } = problem.subject;
      yield { id: [kind, type, ...Object.values(names)].join("/"), kind, ...problem };
    }
  }
}

/** The problems that a caller may see, the most severe first. */
export function problemList(facts: ProblemFacts, principal: Principal, namespace: string | undefined): ProblemList {
  const seen = [...problemsIn(facts)].filter(({ kind, subject }) => {
    if (namespace !== undefined && (subject.namespace ?? namespace) !== namespace) return false;
    return maySee(principal, ACTIONS.get(kind) ?? "access:manage", subject);
  });
  const rank = ({ severity }: Problem) => (severity === "critical" ? 0 : 1);
  seen.sort((a, b) => rank(a) - rank(b) || ((a.since ?? "") < (b.since ?? "") ? 1 : -1));
  const problems = seen.slice(0, PROBLEMS_LISTED_MAX);
  return { at: new Date(facts.nowMs).toISOString(), problems, more: seen.length - problems.length };
}
