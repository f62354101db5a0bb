/** A gradual release step by step: the plan that a request becomes, and what each step leaves behind. */
import { expect, test } from "vitest";
import {
  ACK_SECONDS,
  HOLD_SECONDS,
  KEPT_FAILURES_MAX,
  STAGE_INSTANCES_MAX,
  type RolloutRequest,
} from "#config-server/api";
import {
  begin,
  planned,
  SPARED_MAX,
  stageOf,
  step,
  viewOf,
  type LiveRecord,
  type Rollout,
  type Step,
} from "../../config-server/core/rollout.ts";
import { errorOf } from "./errors-kit.ts";

const NAME = { namespace: "default", app: "orders", profile: "prod" };
const at = (seconds: number) => new Date(seconds * 1000).toISOString();

test("a plan fills in what the request leaves out: one acknowledgement where a stage names or labels, none for a share", () => {
  const gate = { holdSeconds: HOLD_SECONDS, ackTimeoutSeconds: ACK_SECONDS };
  expect(planned({ stages: [{ labels: { a: "b" } }, { instances: ["i"] }, { percent: 10 }] }, "orders")).toEqual({
    stages: [
      { labels: { a: "b" }, ...gate, acksMin: 1 },
      { instances: ["i"], ...gate, acksMin: 1 },
      { percent: 10, ...gate, acksMin: 0 },
      { ...gate, acksMin: 0 },
    ],
    health: { service: "orders", unhealthyMax: 0, graceSeconds: 0 },
    onFailure: "rollback",
  });
  const stated = { holdSeconds: 1, ackTimeoutSeconds: 2, acksMin: 3 };
  const health = { service: "web", unhealthyMax: 4, graceSeconds: 5 };
  const request: RolloutRequest = {
    stages: [{ percent: 1, ...stated }],
    everybody: stated,
    health,
    onFailure: "pause",
  };
  expect(planned(request, "orders")).toEqual({
    stages: [{ percent: 1, ...stated }, stated],
    health,
    onFailure: "pause",
  });
});

test("a stage selects in exactly one way, and no share is smaller than one before it", () => {
  const invalid = (...stages: object[]) => errorOf(() => planned({ stages }, "orders"));
  const field = (path: string) => ["CONFIG_ROLLOUT_INVALID", { field: `/rollout/stages${path}` }];
  expect([invalid({}), invalid({ percent: 1 }, { percent: 2, instances: ["i"] })]).toEqual([field("/0"), field("/1")]);
  expect(invalid({ labels: {} })).toEqual(field("/0/labels"));
  expect(invalid({ percent: 10 }, { instances: ["i"] }, { percent: 9 })).toEqual(field("/2/percent"));
  expect(invalid({ percent: 10 }, { percent: 10 }, { percent: 11 })).toBeUndefined();
  const many = (count: number) => ({ instances: Array.from({ length: count }, (_, i) => `i${i}`) });
  expect(invalid(many(STAGE_INSTANCES_MAX - 1), many(1))).toBeUndefined();
  expect(invalid(many(STAGE_INSTANCES_MAX), many(1))).toEqual(field(""));
});

const PLAN = planned({ stages: [{ instances: ["canary"] }] }, "orders");
type Live = LiveRecord & { readonly rollout: Rollout };
const BEGUN: Live = {
  version: 1,
  hash: "one",
  secrets: true,
  at: at(0),
  latest: 2,
  rollout: begin(PLAN, {
    version: 2,
    hash: "two",
    author: "ann",
    reason: "why",
    critical: ["b", "a", "b"],
    nowMs: 1000,
  }),
};
const TALLY = { reached: 3, applied: 2, failures: [] };
const take = (live: Live, what: Step, over: object = {}) =>
  step(NAME, live, what, { because: "so", nowMs: 9000, tally: TALLY, critical: [], ...over });

test("a rollout begins with its first stage, and leaves aside who was critical before", () => {
  expect(BEGUN.rollout).toMatchObject({
    version: 2,
    hash: "two",
    author: "ann",
    reason: "why",
    startedAt: at(1),
    state: "running",
    stage: 0,
    turn: 1,
    log: [{ beganAt: at(1) }],
    spared: { critical: ["a", "b"], failed: [] },
  });
  const names = Array.from({ length: SPARED_MAX + 1 }, (_, i) => `i${String(i).padStart(5, "0")}`);
  const { spared } = begin(PLAN, { version: 2, hash: "", author: "", reason: "", critical: names, nowMs: 0 });
  expect(spared.critical).toEqual(names.slice(0, SPARED_MAX));
  const of = (instance: string | undefined) =>
    stageOf(BEGUN.rollout, {
      name: NAME,
      who: { ...(instance ? { instance } : {}), labels: {} },
      hash: () => "00000000",
    });
  expect([of("canary"), of("other"), of(undefined)]).toEqual([0, 1, 1]);
});

test("a pause records reason and author; only a paused rollout can be resumed, and each step is a turn", () => {
  const paused = take(BEGUN, "pause", { by: "ben" }).live as Live;
  expect(paused.rollout).toMatchObject({ state: "paused", because: "so", by: "ben", turn: 2, stage: 0 });
  expect(take(BEGUN, "pause").live.rollout).not.toHaveProperty("by");
  const wrong = (state: string) => ["CONFIG_ROLLOUT_STATE", { state }];
  expect([errorOf(() => take(paused, "pause")), errorOf(() => take(BEGUN, "resume"))]).toEqual([
    wrong("paused"),
    wrong("running"),
  ]);
  // A resume continues in spite of earlier failures.
  const tally = { ...TALLY, failures: [{ instance: "f", error: "" }] };
  const resumed = take(paused, "resume", { tally, critical: ["c"] }).live;
  expect(resumed.rollout).toMatchObject({
    state: "running",
    turn: 3,
    spared: { critical: ["a", "b", "c"], failed: ["f"] },
  });
  expect(resumed.rollout).not.toHaveProperty("because");
  expect(resumed.rollout).not.toHaveProperty("by");
});

test("the next stage begins with who is critical then, and the one before keeps its numbers", () => {
  for (const what of ["next", "promote"] as const) {
    const next = take(BEGUN, what, { critical: ["z"] }).live as Live;
    expect(next).toMatchObject({ version: 1, latest: 2 });
    expect(next.rollout).toMatchObject({
      stage: 1,
      turn: 2,
      state: "running",
      spared: { critical: ["z"], failed: [] },
      log: [{ beganAt: at(1), endedAt: at(9), reached: 3, applied: 2 }, { beganAt: at(9) }],
    });
    // The last stage is everybody: after it the release is live.
    expect(take(next, what)).toMatchObject({
      live: { version: 2, hash: "two", at: at(9) },
      ended: { state: "completed" },
    });
  }
  const paused = take(BEGUN, "pause", { by: "ben" }).live as Live;
  expect(take(paused, "promote").live.rollout).not.toHaveProperty("because");
});

test("a rollout ends as completed, back at what was live, or superseded; its number is not used again", () => {
  const completed = take(BEGUN, "complete", { by: "ben" });
  expect(completed.live).toEqual({ version: 2, hash: "two", at: at(9) });
  expect(completed.ended).toMatchObject({
    ...NAME,
    version: 2,
    baseVersion: 1,
    state: "completed",
    because: "so",
    by: "ben",
    startedAt: at(1),
    endedAt: at(9),
    stages: [{ instances: ["canary"], beganAt: at(1), endedAt: at(9), reached: 3, applied: 2 }, { acksMin: 0 }],
  });
  const withSecrets = { ...BEGUN, rollout: { ...BEGUN.rollout, secrets: true as const } };
  expect(take(withSecrets, "complete").live).toMatchObject({ secrets: true });
  const before = { version: 1, hash: "one", secrets: true, at: at(9), latest: 2 };
  for (const [what, state] of [
    ["abort", "rolledBack"],
    ["fail", "rolledBack"],
    ["supersede", "superseded"],
  ] as const) {
    expect(take(BEGUN, what)).toMatchObject({ live: before, ended: { state } });
    expect(take(BEGUN, what).live).not.toHaveProperty("rollout");
    expect(take(BEGUN, what).ended).not.toHaveProperty("by");
  }
  const failures = Array.from({ length: KEPT_FAILURES_MAX + 1 }, (_, i) => ({ instance: `i${i}` }));
  expect(take(BEGUN, "fail", { tally: { ...TALLY, failures } }).ended?.failures).toHaveLength(KEPT_FAILURES_MAX);
});

test("where a failure pauses it is held there, and an abort still goes back", () => {
  const patient = { ...BEGUN, rollout: { ...BEGUN.rollout, plan: { ...PLAN, onFailure: "pause" as const } } };
  expect(take(patient, "fail")).toMatchObject({ live: { version: 1, rollout: { state: "paused", because: "so" } } });
  expect(take(patient, "fail").ended).toBeUndefined();
  expect(take(patient, "abort").ended?.state).toBe("rolledBack");
});

test("a view describes the rollout's progress, without the data that only its followers have", () => {
  const view = viewOf(NAME, BEGUN, BEGUN.rollout);
  expect(view).toEqual({
    ...NAME,
    version: 2,
    baseVersion: 1,
    state: "running",
    author: "ann",
    reason: "why",
    startedAt: at(1),
    stage: 0,
    stages: [{ ...PLAN.stages[0], beganAt: at(1) }, PLAN.stages[1]],
    onFailure: "rollback",
    failures: [],
  });
  expect(viewOf(NAME, BEGUN, { ...BEGUN.rollout, because: "b", by: "c" })).toMatchObject({ because: "b", by: "c" });
});
