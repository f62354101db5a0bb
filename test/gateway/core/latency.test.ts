/** The effects of latencies, failures and late timers, in numbers: weights, limits, and when they end. */
import { expect, test } from "vitest";
import {
  AVOID_MS,
  latencyAt,
  LATENCY_DECAY_MS,
  newLoad,
  noteAnswer,
  noteLatency,
  noteReached,
  noteRefused,
  noteSilent,
  probeMs,
} from "../../../gateway/core/balancing/endpoint-load.ts";
import { NO_ENDPOINTS, type Endpoint } from "../../../gateway/core/balancing/endpoints.ts";
import { nextEndpoints } from "../../../gateway/core/balancing/next-endpoints.ts";
import { GradientLimit } from "../../../gateway/core/balancing/gradient.ts";
import { hearEjection, noteOutcome } from "../../../gateway/core/balancing/outlier.ts";
import { DELAY_LOW_MS, DELAY_NORMAL_MS, DELAY_SAMPLE_MS, LoopDelay } from "../../../gateway/core/limits/overload.ts";
import { RETRY_AFTER_MS_MAX, RetryBudget, statusRetryMs } from "../../../gateway/core/balancing/retry.ts";
import { compileTable } from "../../../gateway/core/routing/table.ts";
import { instance } from "../kit.ts";

test("a latency rises at once, and falls by what is left of it after ten seconds: a third, and a bit", () => {
  const load = newLoad();
  noteLatency(load, 100, 0);
  noteLatency(load, 300, 0);
  expect(load.latencyMs).toBe(300);
  expect(latencyAt(load, 0)).toBe(300);
  expect(latencyAt(load, LATENCY_DECAY_MS)).toBeCloseTo(300 / Math.E);
  expect(latencyAt(load, LATENCY_DECAY_MS)).toBeCloseTo(110.36, 1);
  // A lower one counts by as much as the other has lost.
  noteLatency(load, 100, LATENCY_DECAY_MS);
  expect(load.latencyMs).toBeCloseTo(300 / Math.E + 100 * (1 - 1 / Math.E));
  noteLatency(load, 100, LATENCY_DECAY_MS);
  expect(load.latencyMs).toBeCloseTo(300 / Math.E + 100 * (1 - 1 / Math.E));
  // A clock that goes back makes nothing heavier.
  expect(latencyAt(load, 0)).toBe(load.latencyMs);
  expect(latencyAt(newLoad(), 5)).toBe(0);
});

test("a failure counts as five times what answers of its cluster usually take, unless it took longer", () => {
  const load = newLoad();
  noteAnswer(load, false, 10, 0);
  expect([load.cluster.usualMs, load.latencyMs]).toEqual([10, 10]);
  noteAnswer(load, false, 74, 0);
  // One answer of 64 moves what is usual by one.
  expect(load.cluster.usualMs).toBe(11);
  const failing = newLoad(load.cluster);
  noteAnswer(failing, true, 1, 0);
  expect([failing.latencyMs, load.cluster.usualMs]).toEqual([55, 11]);
  noteAnswer(failing, true, 200, 0);
  expect(failing.latencyMs).toBe(200);
});

test("a refusing endpoint is avoided for 500 ms, doubling up to 30 s, and once reached starts at 500 ms again", () => {
  const load = newLoad();
  const waits = Array.from({ length: 9 }, () => {
    noteRefused(load, 1_000);
    return load.avoidUntilMs - 1_000;
  });
  expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  expect(load.failures).toBe(9);
  noteReached(load);
  expect([load.failures, load.avoidUntilMs]).toEqual([0, 0]);
  noteRefused(load, 0);
  expect(load.avoidUntilMs).toBe(AVOID_MS.base);
  const silent = newLoad();
  const probes = Array.from({ length: 6 }, () => {
    noteSilent(silent);
    return [probeMs(silent, () => 0), probeMs(silent, () => 1)];
  });
  expect(probes).toEqual([
    [125, 250],
    [250, 500],
    [500, 1_000],
    [1_000, 2_000],
    [2_000, 4_000],
    [2_000, 4_000],
  ]);
  // Before any failure as after the first.
  expect(probeMs(newLoad(), () => 1)).toBe(250);
});

/** A limit that has seen so many answers of 10 ms with all that it allows under way. */
function warmed(answers: number, { min = 5, max = 10_000 } = {}): GradientLimit {
  const limit = new GradientLimit({ min, max });
  for (let i = 0; i < answers; i++) limit.note(10, limit.limit);
  return limit;
}

test("a limit begins at 20, or at the bound that is nearest, and rises by a fifth of its root with each usual answer", () => {
  expect(warmed(0).limit).toBe(20);
  expect(new GradientLimit({ min: 30, max: 40 }).limit).toBe(30);
  expect(new GradientLimit({ min: 1, max: 7 }).limit).toBe(7);
  // √n grows by a tenth with each.
  for (const answers of [1, 10, 55, 155]) {
    const expected = (Math.sqrt(20) + answers / 10) ** 2;
    expect(Math.abs(warmed(answers).limit / expected - 1)).toBeLessThan(0.05);
  }
  expect(warmed(400, { max: 100 }).limit).toBe(100);
});

test("answers that take up to half as long again lower no limit; of longer ones each lowers it by a tenth at most", () => {
  const change = (latencyMs: number) => {
    const limit = warmed(1_000, { max: 1_000 });
    limit.note(latencyMs, 1_000);
    return limit.limit;
  };
  expect([change(14.5), change(15)]).toEqual([1_000, 1_000]);
  // √1000 is what queues of itself.
  expect(change(17)).toBeLessThan(1_000);
  // Half of it at the least, of which a fifth counts.
  expect(change(30)).toBe(Math.floor(0.8 * 1_000 + 0.2 * (500 + Math.sqrt(1_000))));
  expect(change(100_000)).toBe(change(30));
});

test("half of the limit under way says something of it, less does not", () => {
  const after = (inFlight: number) => {
    const limit = new GradientLimit({ min: 5, max: 200 });
    for (let i = 0; i < 5; i++) limit.note(10, inFlight);
    return limit.limit;
  };
  expect([after(9), after(10) > 20]).toEqual([20, false]);
  const limit = new GradientLimit({ min: 5, max: 200 });
  limit.note(10, 10);
  limit.note(10, 11);
  expect(limit.limit).toBe(21);
});

test("the latency learned under overload is forgotten when responses take less than half of it", () => {
  const limit = new GradientLimit({ min: 5, max: 1_000 });
  limit.note(100, 0);
  for (let i = 0; i < 60; i++) limit.note(10, 0);
  // By now some 20 ms are usual: 60 are far too long, and would not be if 100 were.
  limit.note(60, 20);
  expect(limit.limit).toBeLessThan(20);
  const calm = new GradientLimit({ min: 5, max: 1_000 });
  calm.note(100, 0);
  for (let i = 0; i < 60; i++) calm.note(51, 0);
  for (let i = 0; i < 3; i++) calm.note(120, 20);
  expect(calm.limit).toBeGreaterThan(20);
});

test("a process is late when one timer in a hundred is, and three of their own were, by more than the bound", () => {
  const after = (...late: number[]) => {
    const loop = new LoopDelay();
    for (let i = 0; i < 240; i++) loop.note(0);
    for (const ms of late) loop.note(ms);
    return loop.pressure;
  };
  expect(after(DELAY_LOW_MS, DELAY_LOW_MS, DELAY_LOW_MS)).toBe(0);
  const low = DELAY_LOW_MS + 1;
  expect([after(low, low), after(low, low, low)]).toEqual([0, 1]);
  const normal = DELAY_NORMAL_MS + 1;
  expect([after(normal, normal), after(normal, normal, normal)]).toEqual([0, 2]);
  expect(after(DELAY_NORMAL_MS, DELAY_NORMAL_MS, DELAY_NORMAL_MS)).toBe(1);
});

test("one late timer stands for the time that it was late, and the latest of a hundred is left out", () => {
  const loop = new LoopDelay();
  expect(loop.p99()).toBe(0);
  for (let i = 0; i < 99; i++) loop.note(i === 0 ? 7 : 1);
  expect(loop.p99()).toBe(7);
  loop.note(1);
  expect(loop.p99()).toBe(7);
  for (let i = 0; i < 2; i++) loop.note(1);
  expect(loop.p99()).toBe(1);
  // 60 ms late: 60, 40, 20 and nothing, as timers every 20 ms would have been.
  const paused = new LoopDelay();
  paused.note(3 * DELAY_SAMPLE_MS);
  for (let i = 0; i < 3; i++) paused.note(0);
  expect(paused.p99()).toBe(60);
  const many = new LoopDelay();
  for (let i = 0; i < 96; i++) many.note(0);
  many.note(3 * DELAY_SAMPLE_MS);
  expect(many.p99()).toBe(60);
  for (let i = 0; i < 100; i++) many.note(0);
  expect(many.p99()).toBe(40);
  many.note(0);
  expect(many.p99()).toBe(20);
  // A timer that is early is on time.
  const early = new LoopDelay();
  early.note(-5);
  expect([early.p99(), early.pressure]).toEqual([0, 0]);
});

const table = compileTable({ clusters: [{ name: "c", service: "orders" }] }, { namespace: "default" });
const cluster = table.clusters.get("cluster:c") as Endpoint["cluster"];
const policy = cluster.outlier;

test("each ejection is paid off by as long a time spent well as the first one was", () => {
  const set = nextEndpoints(NO_ENDPOINTS, cluster, [instance(1), instance(2)]);
  const { load } = set.endpoints[0] as Endpoint;
  hearEjection(load, { ejections: 3, untilMs: 90_000 }, { set, policy, nowMs: 0 });
  const well = (nowMs: number) => {
    noteOutcome(load, 200, { set, policy, nowMs });
    return load.ejections;
  };
  expect(policy.ejectionMs).toBe(30_000);
  expect([well(119_999), well(120_000), well(149_999), well(150_000), well(180_000), well(1e9)]).toEqual([
    3, 2, 2, 1, 0, 0,
  ]);
});

test("a worker adopts another worker's ejections within its limit, and never shortens an ejection", () => {
  const set = nextEndpoints(NO_ENDPOINTS, cluster, [instance(1), instance(2)]);
  const [one, two] = set.endpoints.map(({ load }) => load) as [Endpoint["load"], Endpoint["load"]];
  const hear = (load: Endpoint["load"], ejections: number, untilMs: number, nowMs: number) =>
    hearEjection(load, { ejections, untilMs }, { set, policy, nowMs });
  hear(one, 2, 60_000, 0);
  hear(one, 1, 30_000, 1);
  expect([one.ejections, one.ejectedUntilMs]).toEqual([2, 60_000]);
  hear(two, 1, 30_000, 59_999);
  expect(two.ejectedUntilMs).toBe(0);
  // The first one's is over, so there is room again.
  hear(two, 1, 90_000, 60_000);
  expect([two.ejections, two.ejectedUntilMs]).toEqual([1, 90_000]);
});

test("a service may ask for five seconds before another try, and for less than the own wait it is not asked sooner", () => {
  const wait = (retryAfter: string, retries = 0) =>
    statusRetryMs(503, retryAfter, {
      policy: { attempts: 4, on: new Set(), statuses: new Set([503]), hedgeMs: undefined },
      method: "GET",
      hasBody: false,
      retries,
      random: () => 1,
    });
  expect([wait("5"), wait("6"), wait("0"), wait("0", 2)]).toEqual([RETRY_AFTER_MS_MAX, undefined, 25, 100]);
});

test("a budget of retries is three a second and at most a hundred; of several workers each has its part", () => {
  const drain = (budget: RetryBudget, nowMs: number) => {
    let taken = 0;
    while (budget.withdraw(nowMs)) taken += 1;
    return taken;
  };
  const budget = new RetryBudget();
  expect([drain(budget, 0), drain(budget, 1_000), drain(budget, 1_500), drain(budget, 1e6)]).toEqual([3, 3, 1, 100]);
  for (let i = 0; i < 10_000; i++) budget.deposit();
  expect(drain(budget, 1e6)).toBe(100);
  for (let i = 0; i < 5; i++) budget.deposit();
  expect(drain(budget, 1e6)).toBe(1);
  // A third of three a second, and of the hundred; one at the least.
  const third = new RetryBudget(3);
  expect([drain(third, 0), drain(third, 1_000), drain(third, 1e6)]).toEqual([1, 1, 33]);
  const small = new RetryBudget(200);
  expect([drain(small, 0), drain(small, 60_000), drain(small, 120_000)]).toEqual([1, 0, 1]);
});
