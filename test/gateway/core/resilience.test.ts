/**
 * Which endpoints are ejected and for how long, what a cluster can bear, what is retried and when, and when a process
 * sheds.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { ClusterView } from "#gateway";
import { pick } from "../../../gateway/core/balancing/balancer.ts";
import { adoptView, mergeViews, viewCluster } from "../../../gateway/core/decision/cluster-view.ts";
import { ConcurrencyLimiter } from "../../../gateway/core/limits/concurrency.ts";
import { noteSilent, type EndpointLoad } from "../../../gateway/core/balancing/endpoint-load.ts";
import { NO_ENDPOINTS, type Endpoint, type EndpointSet } from "../../../gateway/core/balancing/endpoints.ts";
import { nextEndpoints } from "../../../gateway/core/balancing/next-endpoints.ts";
import { GradientLimit } from "../../../gateway/core/balancing/gradient.ts";
import {
  EJECTION_MS_MAX,
  hearEjection,
  noteOutcome,
  SUCCESS_RATE_MS,
} from "../../../gateway/core/balancing/outlier.ts";
import { DELAY_SAMPLE_MS, LoopDelay } from "../../../gateway/core/limits/overload.ts";
import { backoffMs, chooseRetry, RETRY_BACKOFF_MS, statusRetryMs } from "../../../gateway/core/balancing/retry.ts";
import { compileTable } from "../../../gateway/core/routing/table.ts";
import { instance } from "../kit.ts";

const table = compileTable({ clusters: [{ name: "c", service: "orders" }] }, { namespace: "default" });
const cluster = table.clusters.get("cluster:c") as Endpoint["cluster"];
const policy = cluster.outlier;

function setOf(count: number): EndpointSet {
  return nextEndpoints(
    NO_ENDPOINTS,
    cluster,
    Array.from({ length: count }, (_, at) => instance(at + 1)),
  );
}

const loads = (set: EndpointSet): EndpointLoad[] => set.endpoints.map(({ load }) => load);
const ejected = (set: EndpointSet, nowMs: number) => loads(set).filter((load) => load.ejectedUntilMs > nowMs).length;

function fail(set: EndpointSet, load: EndpointLoad, nowMs: number, times = 5, status = 503): boolean {
  return Array.from({ length: times }, () => noteOutcome(load, status, { set, policy, nowMs })).some(Boolean);
}

test("five gateway errors in a row eject for 30 s, the next time for 60 s; anything else in between does not", () => {
  const set = setOf(4);
  const [one] = loads(set) as [EndpointLoad];
  expect(fail(set, one, 0, 4)).toBe(false);
  noteOutcome(one, 500, { set, policy, nowMs: 0 });
  expect(fail(set, one, 0, 4)).toBe(false);
  noteOutcome(one, 0, { set, policy, nowMs: 1 });
  expect(one.ejectedUntilMs).toBe(30_001);
  expect(fail(set, one, 40_000)).toBe(true);
  expect(one.ejectedUntilMs).toBe(100_000);
  for (let i = 0; i < 50; i++) fail(set, one, one.ejectedUntilMs + 1);
  const at = one.ejectedUntilMs + 1;
  fail(set, one, at);
  expect(one.ejectedUntilMs).toBe(at + EJECTION_MS_MAX);
});

test("a time without errors reduces the count of ejections", () => {
  const set = setOf(4);
  const [one] = loads(set) as [EndpointLoad];
  fail(set, one, 0);
  fail(set, one, 30_000);
  expect(one.ejections).toBe(2);
  noteOutcome(one, 200, { set, policy, nowMs: 100_000 });
  expect(one.ejections).toBe(2);
  noteOutcome(one, 200, { set, policy, nowMs: 121_000 });
  expect(one.ejections).toBe(1);
  expect(fail(set, one, 122_000)).toBe(true);
  expect(one.ejectedUntilMs).toBe(182_000);
});

test("never more than half are ejected, but one always may be", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), fc.array(fc.nat(11), { maxLength: 40 }), (count, order) => {
      const set = setOf(count);
      for (const [step, which] of order.entries()) fail(set, loads(set)[which % count] as EndpointLoad, step);
      expect(ejected(set, order.length)).toBeLessThanOrEqual(Math.max(1, Math.floor(count / 2)));
      if (order.length > 0) expect(ejected(set, order.length)).toBeGreaterThanOrEqual(1);
    }),
  );
});

test("two workers that eject at the same moment together eject at most half of a cluster, whenever they learn of each other's", () => {
  const step = fc.record({ worker: fc.nat(1), endpoint: fc.nat(11), heardLate: fc.nat(5) });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), fc.array(step, { maxLength: 40 }), (count, steps) => {
      const workers = [setOf(count), setOf(count)] as const;
      const news: { atMs: number; to: 0 | 1; endpoint: number; ejections: number; untilMs: number }[] = [];
      for (let nowMs = 0; nowMs < steps.length + 10; nowMs++) {
        for (const { to, endpoint, ejections, untilMs } of news.filter(({ atMs }) => atMs === nowMs)) {
          const set = workers[to];
          hearEjection(loads(set)[endpoint] as EndpointLoad, { ejections, untilMs }, { set, policy, nowMs });
        }
        const { worker, endpoint: which, heardLate } = steps[nowMs] ?? { worker: 0, endpoint: -1, heardLate: 0 };
        const endpoint = which % count;
        const set = workers[worker as 0 | 1];
        if (which >= 0 && fail(set, loads(set)[endpoint] as EndpointLoad, nowMs)) {
          const { ejections, ejectedUntilMs: untilMs } = loads(set)[endpoint] as EndpointLoad;
          news.push({ atMs: nowMs + 1 + heardLate, to: worker === 0 ? 1 : 0, endpoint, ejections, untilMs });
        }
        for (const one of workers) expect(ejected(one, nowMs)).toBeLessThanOrEqual(Math.max(1, Math.floor(count / 2)));
      }
    }),
  );
});

test("an ejected endpoint stays ejected as long as either worker requires, and its errors start again from zero", () => {
  const set = setOf(2);
  const [one, other] = loads(set) as [EndpointLoad, EndpointLoad];
  const about = { set, policy, nowMs: 0 };
  hearEjection(one, { ejections: 1, untilMs: 30_000 }, about);
  fail(set, one, 1, 3);
  hearEjection(one, { ejections: 2, untilMs: 60_000 }, about);
  expect([one.ejectedUntilMs, one.ejections, one.errors]).toEqual([60_000, 2, 0]);
  hearEjection(other, { ejections: 1, untilMs: 30_000 }, about);
  expect([other.ejectedUntilMs, other.ejections]).toEqual([0, 0]);
});

test("an endpoint that succeeds far less often than the others is ejected, given enough endpoints and answers", () => {
  const run = (count: number, answers: number) => {
    const set = setOf(count);
    for (const [at, load] of loads(set).entries()) {
      for (let i = 0; i < answers; i++) {
        noteOutcome(load, at === 0 && i % 2 === 0 ? 500 : 200, { set, policy, nowMs: 1 });
      }
    }
    noteOutcome(loads(set)[1] as EndpointLoad, 200, { set, policy, nowMs: SUCCESS_RATE_MS + 1 });
    return loads(set)[0]?.ejectedUntilMs ?? 0;
  };
  expect(run(6, 120)).toBe(SUCCESS_RATE_MS + 1 + 30_000);
  expect([run(4, 120), run(6, 90)]).toEqual([0, 0]);
});

test("ejected endpoints get nothing while enough are left; below the panic threshold all are used, and it is said", () => {
  const set = setOf(3);
  const options = { inFlightMax: 10, nowMs: 0, panicPercent: 50 };
  const seen = () => {
    let at = 0;
    return new Set(Array.from({ length: 300 }, () => pick(set, () => (at = (at + 0.377) % 1), options)?.port));
  };
  const [a, b] = loads(set) as [EndpointLoad, EndpointLoad];
  a.ejectedUntilMs = 10;
  expect(seen()).toEqual(new Set(set.endpoints.filter(({ load }) => load !== a).map(({ port }) => port)));
  expect(viewCluster(set, cluster, 0).panic).toBe(false);
  b.ejectedUntilMs = 10;
  expect(seen().size).toBe(3);
  expect(viewCluster(set, cluster, 0)).toMatchObject({
    panic: true,
    endpoints: [{ ejectedMs: 10 }, { ejectedMs: 10 }, { readiness: 1, weight: 100 }],
  });
});

test("an adaptive limit goes on where it was under other bounds, as far as these let it", () => {
  const bounded = (max: number) =>
    compileTable(
      { clusters: [{ name: "c", service: "orders", adaptive: { min: 1, max } }] },
      { namespace: "default" },
    ).clusters.get("cluster:c") as Endpoint["cluster"];
  const instances = [instance(1)];
  const limitOf = (set: EndpointSet) => set.endpoints[0]?.load.cluster.gradient as GradientLimit;
  let set = nextEndpoints(NO_ENDPOINTS, bounded(2), instances);
  for (let i = 0; i < 1_000; i++) limitOf(set).note(10, 2);
  expect(limitOf(set).limit).toBe(2);
  set = nextEndpoints(set, bounded(4_000), instances);
  for (let i = 0; i < 1_000; i++) limitOf(set).note(10, limitOf(set).limit);
  const found = limitOf(set).limit;
  expect(found).toBeGreaterThan(100);
  expect(limitOf(nextEndpoints(set, bounded(3_999), instances)).limit).toBe(Math.min(3_999, found));
  expect(limitOf(nextEndpoints(set, bounded(3), instances)).limit).toBe(3);
});

test("the state of an endpoint outlives its absence, but not its instance", () => {
  const well = [instance(1), instance(2)];
  const away = [instance(1, { status: "critical" }), instance(2, { status: "critical" })];
  const first = nextEndpoints(NO_ENDPOINTS, cluster, well, { nowMs: 0 });
  const [load] = loads(first) as [EndpointLoad];
  load.inFlight = 3;
  load.ejectedUntilMs = 9_000;
  noteSilent(load);
  const empty = nextEndpoints(first, cluster, away, { nowMs: 1_000 });
  expect(empty.endpoints).toEqual([]);
  const back = nextEndpoints(empty, cluster, well, { nowMs: 2_000 });
  expect(loads(back)[0]).toBe(load);
  expect(loads(back)[0]).toMatchObject({ inFlight: 3, ejectedUntilMs: 9_000, avoidUntilMs: 0, failures: 0 });
  expect(loads(back)[0]?.cluster).toBe(loads(first)[0]?.cluster);
  const gone = nextEndpoints(back, cluster, [instance(2)], { nowMs: 3_000 });
  expect(loads(nextEndpoints(gone, cluster, well, { nowMs: 4_000 }))[0]).toMatchObject({ inFlight: 0, sinceMs: 4_000 });
});

test("the workers' views of a cluster are one view: sums of requests, and the worst of the states", () => {
  const [one, two] = [setOf(2), setOf(3)];
  const [a, b] = loads(one) as [EndpointLoad, EndpointLoad];
  a.inFlight = 2;
  a.latencyMs = 30;
  b.ejectedUntilMs = 50;
  a.cluster.inFlight = 2;
  const other = loads(two)[0] as EndpointLoad;
  other.inFlight = other.cluster.inFlight = 3;
  other.latencyMs = 10;
  noteSilent(loads(two)[2] as EndpointLoad);
  const view = mergeViews([viewCluster(one, cluster, 0), viewCluster(two, cluster, 0)]) as ClusterView;
  expect(view.breaker.requests).toEqual({ now: 5, max: cluster.breaker.requestsMax });
  expect(view.endpoints).toHaveLength(3);
  expect(view.endpoints).toMatchObject([
    { inFlight: 5, latencyMs: 30 },
    { inFlight: 0, ejectedMs: 50 },
    { silent: true },
  ]);
  expect(mergeViews([])).toBeUndefined();

  // And a set that is given the view decides as theirs do.
  const fresh = setOf(3);
  adoptView(fresh, view, 1_000);
  expect(viewCluster(fresh, cluster, 1_000)).toEqual(view);
});

test("a limit found by latency stays between its bounds, falls while answers queue, and comes back", () => {
  const limit = new GradientLimit({ min: 5, max: 200 });
  for (let i = 0; i < 400; i++) limit.note(10, limit.limit);
  const calm = limit.limit;
  expect(calm).toBeGreaterThan(50);
  for (let i = 0; i < 100; i++) limit.note(200, limit.limit);
  expect(limit.limit).toBeLessThan(calm / 2);
  for (let i = 0; i < 2_000; i++) limit.note(10, limit.limit);
  expect(limit.limit).toBeGreaterThan(50);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 5_000 }), fc.nat(300)), { maxLength: 200 }), (notes) => {
      const bounded = new GradientLimit({ min: 5, max: 200 });
      for (const [latencyMs, inFlight] of notes) bounded.note(latencyMs, inFlight);
      expect(bounded.limit).toBeGreaterThanOrEqual(5);
      expect(bounded.limit).toBeLessThanOrEqual(200);
    }),
  );
});

test("few requests say nothing of what many would do, so they leave the limit alone", () => {
  const limit = new GradientLimit({ min: 5, max: 200 });
  for (let i = 0; i < 500; i++) limit.note(10, 3);
  expect(limit.limit).toBe(20);
});

test("a process whose timers are late sheds what is low, then what is normal, and stops once they are on time", () => {
  const loop = new LoopDelay();
  for (let i = 0; i < 250; i++) loop.note(2);
  expect([loop.pressure, loop.p99()]).toEqual([0, 2]);
  // One long pause is over when it is seen.
  loop.note(2_000);
  expect(loop.pressure).toBe(0);
  loop.note(150);
  loop.note(150);
  expect(loop.pressure).toBe(1);
  loop.note(600);
  loop.note(600);
  expect(loop.pressure).toBe(2);
  for (let i = 0; i < 5_000 / DELAY_SAMPLE_MS; i++) loop.note(1);
  expect(loop.pressure).toBe(0);
});

const given = { method: "GET", hasBody: false, retries: 0, random: () => 0.5 };
const retry = { attempts: 2, on: new Set(["reset" as const]), statuses: new Set([503]), hedgeMs: undefined };

test("a status is tried again when the route says so, after Retry-After in seconds, and not when that is long or a date", () => {
  const wait = (status: number, retryAfter?: string, over = {}) =>
    statusRetryMs(status, retryAfter, { ...given, policy: retry, ...over });
  expect([wait(503), wait(503, "2"), wait(502)]).toEqual([RETRY_BACKOFF_MS.base / 2, 2_000, undefined]);
  expect([wait(503, "120"), wait(503, "Wed, 21 Oct 2026 07:28:00 GMT")]).toEqual([undefined, undefined]);
  expect(wait(503, undefined, { method: "POST" })).toBeUndefined();
  expect(wait(503, undefined, { hasBody: true })).toBeUndefined();
  expect(wait(503, undefined, { retries: 2 })).toBeUndefined();
});

test("the wait before another try doubles up to its cap, and is never more than that", () => {
  expect([0, 1, 2, 9].map((retries) => backoffMs(retries, () => 1))).toEqual([25, 50, 100, RETRY_BACKOFF_MS.cap]);
});

test("a failure that the route does not name is not retried, but a stale connection is always replaced", () => {
  const context = { method: "GET", hasBody: false, bodyStarted: false, retries: 0, moves: 0, refreshed: false };
  const on = (...names: ("connect" | "reset" | "timeout")[]) => ({
    ...context,
    policy: { attempts: 1, on: new Set(names) },
  });
  const failed = { error: "UPSTREAM_RESET", connecting: false, reused: false } as const;
  expect(chooseRetry(failed, on("reset"))).toBe("again");
  expect(chooseRetry(failed, on("connect"))).toBe("none");
  expect(chooseRetry({ ...failed, reused: true }, on())).toBe("fresh");
  expect(chooseRetry({ ...failed, error: "UPSTREAM_TIMEOUT" }, on("timeout"))).toBe("again");
  expect(chooseRetry({ ...failed, error: "UPSTREAM_TIMEOUT" }, on("reset"))).toBe("none");
  const refused = { error: "UPSTREAM_UNREACHABLE", connecting: true, reused: false } as const;
  expect([chooseRetry(refused, on("connect")), chooseRetry(refused, on("reset"))]).toEqual(["move", "none"]);
  expect(chooseRetry({ ...refused, error: "OVERLOADED" }, on("connect"))).toBe("none");
});

test("requests at once are counted by who shares the limit, and forgotten when they have ended", () => {
  const limiter = new ConcurrencyLimiter();
  expect([limiter.take("a", 2), limiter.take("a", 2), limiter.take("a", 2), limiter.take("b", 2)]).toEqual([
    true,
    true,
    false,
    true,
  ]);
  limiter.release("a");
  expect(limiter.take("a", 2)).toBe(true);
  for (const key of ["a", "a", "b"]) limiter.release(key);
  expect(limiter.keys).toBe(0);
});
