/** Each detector of problems: a cause makes the problem appear, and its remedy makes it disappear. */
import { expect, test } from "vitest";
import type { StoredChange } from "#changes";
import type { Instance } from "#registry/api";
import type { ProblemFacts } from "../../timeline/problems/detector.ts";
import { problemsIn } from "../../timeline/problems/mod.ts";

const NOW_MS = Date.UTC(2026, 10, 30, 12);
const DAY_MS = 86_400_000;
const at = (agoMs: number) => new Date(NOW_MS - agoMs).toISOString();
const SINCE = at(600_000);
const SET = { namespace: "default", app: "web", profile: "main" };

const NONE: ProblemFacts = {
  nowMs: NOW_MS,
  services: () => [],
  instances: () => [],
  output: () => undefined,
  acknowledgements: () => [],
  pausedRollouts: () => [],
  unreadableSecrets: () => [],
  authorityProblem: () => undefined,
  nodes: () => [],
  silentParts: () => [],
  degraded: () => [],
  certificates: () => [],
  latestChanges: () => [],
};

/** A service with instances of these states. */
function service(states: readonly Instance["status"][], panic = false): Partial<ProblemFacts> {
  const count = (status: Instance["status"]) => states.filter((one) => one === status).length;
  const instances = states.map((status, index): Instance => {
    const check = { id: "up", type: "http", status, since: SINCE } as const;
    return {
      namespace: "default",
      service: "web",
      id: `i${index}`,
      status,
      lifecycle: "serving",
      checks: [check],
    } as unknown as Instance;
  });
  const summary = {
    namespace: "default",
    service: "web",
    instances: states.length,
    draining: 0,
    panic,
    passing: count("passing"),
    warning: count("warning"),
    critical: count("critical"),
    unknown: count("unknown"),
  };
  return { services: () => [summary], instances: () => instances };
}

function acknowledged(one: {
  outcome: "applied" | "failed";
  current: boolean;
  present: boolean;
}): Partial<ProblemFacts> {
  const subscriber = { subscriber: "w1", labels: {}, releaseKey: "k", at: SINCE, ...one };
  return { acknowledgements: () => [{ set: SET, dueAtMs: NOW_MS - 600_000, subscribers: [subscriber] }] };
}

/** The log, newest first. */
function changes(...all: readonly Pick<StoredChange, "kind" | "to" | "at" | "subject">[]): Partial<ProblemFacts> {
  return { latestChanges: (kinds) => all.filter(({ kind }) => kinds.has(kind)) };
}

const ofSet = (kind: StoredChange["kind"], agoMs: number) => ({
  kind,
  at: at(agoMs),
  subject: { type: "set", ...SET } as const,
});
const ofMember = (kind: StoredChange["kind"], name: string, agoMs: number, to?: string) => ({
  kind,
  at: at(agoMs),
  subject: { type: "member", name } as const,
  ...(to === undefined ? {} : { to }),
});
const paused: Partial<ProblemFacts> = {
  pausedRollouts: () => [{ set: SET, version: 3, stage: 0, because: "errors" }],
};

/** `since`: absent where the beginning is not known. */
const DETECTORS: readonly {
  readonly kind: string;
  readonly cause: Partial<ProblemFacts>;
  readonly since?: string;
  readonly remedies: readonly Partial<ProblemFacts>[];
}[] = [
  {
    kind: "store-unreachable",
    cause: { silentParts: () => [{ name: "registry", sinceMs: NOW_MS - 600_000 }] },
    since: SINCE,
    remedies: [{ silentParts: () => [] }],
  },
  { kind: "store-degraded", cause: { degraded: () => ["The disk is full."] }, remedies: [{ degraded: () => [] }] },
  {
    kind: "service-down",
    cause: service(["critical", "critical"]),
    since: SINCE,
    remedies: [service(["critical", "passing"]), service(["warning"])],
  },
  {
    kind: "secret-unreadable",
    cause: { unreadableSecrets: () => [{ set: SET, key: "password" }] },
    remedies: [{ unreadableSecrets: () => [] }],
  },
  {
    kind: "certificate-expiring",
    cause: { certificates: () => [{ name: "control API", expiresAtMs: NOW_MS + 13 * DAY_MS }] },
    since: at(DAY_MS),
    remedies: [{ certificates: () => [{ name: "control API", expiresAtMs: NOW_MS + 15 * DAY_MS }] }],
  },
  {
    kind: "authority-unusable",
    cause: { authorityProblem: () => "The key of the certificate authority cannot be opened." },
    remedies: [{ authorityProblem: () => undefined }],
  },
  {
    kind: "node-not-renewed",
    cause: { nodes: () => [{ kind: "agent", name: "web-1", expiresAtMs: NOW_MS + DAY_MS / 24 }] },
    since: at(5 * (DAY_MS / 24)),
    remedies: [{ nodes: () => [{ kind: "agent", name: "web-1", expiresAtMs: NOW_MS + DAY_MS / 2 }] }],
  },
  {
    kind: "service-panic",
    cause: service(["critical", "critical", "passing"], true),
    since: SINCE,
    remedies: [service(["critical", "passing", "passing"])],
  },
  {
    kind: "config-rejected",
    cause: acknowledged({ outcome: "failed", current: true, present: true }),
    since: SINCE,
    remedies: [acknowledged({ outcome: "applied", current: true, present: true })],
  },
  {
    kind: "config-behind",
    cause: acknowledged({ outcome: "applied", current: false, present: true }),
    since: SINCE,
    remedies: [
      acknowledged({ outcome: "applied", current: true, present: true }),
      acknowledged({ outcome: "applied", current: false, present: false }),
    ],
  },
  {
    kind: "rollout-paused",
    cause: { ...paused, ...changes(ofSet("rollout-paused", 600_000)) },
    since: SINCE,
    remedies: [changes(ofSet("rollout-resumed", 1), ofSet("rollout-paused", 600_000))],
  },
  {
    kind: "rollout-rolled-back",
    cause: changes(ofSet("rollout-rolled-back", 600_000)),
    since: SINCE,
    remedies: [
      changes(ofSet("config-released", 1), ofSet("rollout-rolled-back", 600_000)),
      changes(ofSet("rollout-rolled-back", DAY_MS + 1)),
    ],
  },
  {
    kind: "member-unreachable",
    cause: changes(ofMember("member-left", "m1", 600_000, "is not reachable")),
    since: SINCE,
    remedies: [
      changes(ofMember("member-joined", "m2", 1), ofMember("member-left", "m1", 600_000, "is not reachable")),
      changes(ofMember("member-left", "m1", 600_000, "stopped")),
    ],
  },
  {
    kind: "instance-critical",
    cause: service(["critical", "passing"]),
    since: SINCE,
    remedies: [service(["passing", "passing"])],
  },
  { kind: "instance-warning", cause: service(["warning"]), since: SINCE, remedies: [service(["passing"])] },
];

function found(facts: Partial<ProblemFacts>, kind: string) {
  return [...problemsIn({ ...NONE, ...facts })].filter((problem) => problem.kind === kind);
}

for (const { kind, cause, since, remedies } of DETECTORS) {
  test(`${kind} appears with its cause, and disappears with each remedy`, () => {
    expect(found(NONE, kind)).toEqual([]);
    const problems = found(cause, kind);
    expect(problems.length).toBeGreaterThan(0);
    for (const problem of problems) {
      expect(problem.since).toBe(since);
      expect(problem.text).toMatch(/\.$|\.\)$|: \S+/);
    }
    for (const remedy of remedies) expect(found(remedy, kind)).toEqual([]);
  });
}
