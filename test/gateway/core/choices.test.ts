/** Choices among endpoints, leases and what a gateway knows of its cluster: each rule by one example, at its edge. */
import { expect, test } from "vitest";
import type { ClusterView } from "#gateway";
import { isDead, pick } from "../../../gateway/core/balancing/balancer.ts";
import { type PickOptions } from "../../../gateway/core/balancing/policies/policy.ts";
import { readiness } from "../../../gateway/core/balancing/weighted-draw.ts";
import { weigh } from "../../../gateway/core/balancing/endpoints.ts";
import { adoptView, mergeViews, viewCluster } from "../../../gateway/core/decision/cluster-view.ts";
import { ConcurrencyLimiter } from "../../../gateway/core/limits/concurrency.ts";
import { newLoad, noteSilent } from "../../../gateway/core/balancing/endpoint-load.ts";
import { endpointKey } from "../../../gateway/core/balancing/endpoint-target.ts";
import { NO_ENDPOINTS, type Endpoint, type EndpointSet } from "../../../gateway/core/balancing/endpoints.ts";
import { nextEndpoints } from "../../../gateway/core/balancing/next-endpoints.ts";
import { hintedRoutes } from "../../../gateway/core/routing/hints.ts";
import {
  alonePolicy,
  ask,
  begin,
  borrow,
  dueMs,
  lapse,
  sharedRate,
  type Lease,
  type SharedPolicy,
} from "../../../gateway/core/limits/lease-arithmetic.ts";
import { LeasedLimits } from "../../../gateway/core/limits/leased-limits.ts";
import { LineCap, LINES_PER_SECOND_MAX } from "../../../gateway/core/request/line-cap.ts";
import { compileTable } from "../../../gateway/core/routing/table.ts";
import { instance } from "../kit.ts";

function clusterOf(over: object = {}): Endpoint["cluster"] {
  const table = compileTable({ clusters: [{ name: "c", service: "orders", ...over }] }, { namespace: "default" });
  return table.clusters.get("cluster:c") as Endpoint["cluster"];
}
const cluster = clusterOf();
const setOf = (...instances: ReturnType<typeof instance>[]) => nextEndpoints(NO_ENDPOINTS, cluster, instances);
const loadOf = (set: EndpointSet, port: number) =>
  set.endpoints.find((one) => one.port === port)?.load as Endpoint["load"];
const room: PickOptions = { inFlightMax: 10, nowMs: 0 };
/** Picks with these draws, in turn; the last one goes on. */
function picked(set: EndpointSet, draws: readonly number[], options: Partial<PickOptions> = {}): number | undefined {
  let at = 0;
  return pick(set, () => draws[Math.min(at++, draws.length - 1)] as number, { ...room, ...options })?.port;
}

test("draws fall to each endpoint by its weight, the border to the next", () => {
  const even = setOf(instance(1), instance(2), instance(3), instance(4));
  const random = { balance: "random" } as const;
  expect([0, 0.249, 0.25, 0.5, 0.75, 0.999].map((draw) => picked(even, [draw], random))).toEqual([1, 1, 2, 3, 4, 4]);
  expect(picked(even, [1], random)).toBe(4);
  const heavy = setOf(instance(1, { weight: 10 }), instance(2, { weight: 30 }), instance(3, { weight: 60 }));
  expect([0, 0.099, 0.1, 0.399, 0.4, 0.999].map((draw) => picked(heavy, [draw], random))).toEqual([1, 1, 2, 2, 3, 3]);
  expect(weigh(even.endpoints).ends).toBeUndefined();
  expect(weigh(heavy.endpoints).ends).toEqual([10, 40, 100]);
});

test("of two that are drawn the second is taken only when it would be done clearly sooner", () => {
  const set = setOf(instance(1), instance(2));
  const [one, two] = [loadOf(set, 1), loadOf(set, 2)];
  const first = () => picked(set, [0, 0]);
  expect(first()).toBe(1);
  one.inFlight = 1;
  expect(first()).toBe(2);
  two.inFlight = 1;
  expect(first()).toBe(1);
  // Latencies less than a fifth apart are the same, so the shorter queue decides.
  [one.latencyMs, two.latencyMs] = [100, 81];
  expect(first()).toBe(1);
  two.latencyMs = 80;
  expect(first()).toBe(2);
  [one.latencyMs, two.latencyMs] = [81, 100];
  one.inFlight = 2;
  expect(first()).toBe(2);
  // Three times as slow, with a third in the queue: 30 ms × 4 against 100 ms × 1.
  [one.latencyMs, two.latencyMs, one.inFlight, two.inFlight] = [30, 100, 3, 0];
  expect(first()).toBe(2);
  one.inFlight = 2;
  expect(first()).toBe(1);
  // Without latency samples of one of the two, latency does not count.
  [one.latencyMs, two.latencyMs, one.inFlight, two.inFlight] = [1, 0, 1, 0];
  expect(first()).toBe(2);
  // Twice the weight bears twice the queue.
  const uneven = setOf(instance(1, { weight: 100 }), instance(2, { weight: 200 }));
  [loadOf(uneven, 1).inFlight, loadOf(uneven, 2).inFlight] = [2, 3];
  expect(picked(uneven, [0, 0])).toBe(2);
  loadOf(uneven, 2).inFlight = 4;
  expect(picked(uneven, [0, 0])).toBe(1);
});

test("a new endpoint gets requests by its readiness: part of its draws are repeated, and it is not taken as the second draw", () => {
  const options = { nowMs: 10_000, slowStartMs: 10_000 };
  const ready = (sinceMs: number) => {
    const set = setOf(instance(1), instance(2));
    loadOf(set, 1).sinceMs = sinceMs;
    return { set, readiness: readiness(set.endpoints[0] as Endpoint, { ...room, ...options }) };
  };
  expect(
    [ready(10_000), ready(9_500), ready(5_000), ready(1), ready(0), ready(-Infinity)].map((one) => one.readiness),
  ).toEqual([0.1, 0.1, 0.5, 0.9999, 1, 1]);
  const { set } = ready(5_000);
  const random = { ...options, balance: "random" } as const;
  expect([picked(set, [0, 0.499, 0], random), picked(set, [0, 0.5, 0], random)]).toEqual([1, 2]);
  // Idle or not: what is drawn second is the newcomer, and stays behind.
  loadOf(set, 2).inFlight = 5;
  expect(picked(set, [0.9, 0], options)).toBe(2);
});

test("the own zone gets exactly its share of the draws", () => {
  const near = { zone: "a" };
  const set = nextEndpoints(
    NO_ENDPOINTS,
    cluster,
    [
      instance(1, near),
      instance(2, { ...near, status: "critical" }),
      instance(3, { zone: "b" }),
      instance(4, { zone: "b" }),
    ],
    { nowMs: 0, zone: "a" },
  );
  expect(set.near?.share).toBe(0.7);
  expect([picked(set, [0.69, 0.9]), picked(set, [0.7, 0.9])]).toEqual([1, 4]);
});

test("round robin skips ejected endpoints, and takes the first when all are ejected", () => {
  const set = setOf(instance(1), instance(2), instance(3));
  const turn = (options: Partial<PickOptions> = {}) => picked(set, [0], { balance: "round-robin", ...options });
  expect([turn(), turn(), turn(), turn()]).toEqual([1, 2, 3, 1]);
  loadOf(set, 2).ejectedUntilMs = 5;
  expect([turn(), turn(), turn()].includes(2)).toBe(false);
  for (const port of [1, 2, 3]) loadOf(set, port).ejectedUntilMs = 5;
  expect(turn()).toBe(1);
  expect(turn({ nowMs: 5 })).toBeDefined();
  // Endpoints at their limit are never chosen.
  for (const port of [1, 2, 3]) loadOf(set, port).inFlight = 10;
  expect(turn()).toBeUndefined();
});

test("least requests begins its look anywhere, and a tie falls to the first from there", () => {
  const set = setOf(instance(1), instance(2), instance(3));
  const least = (draw: number) => picked(set, [draw], { balance: "least-requests" });
  expect([least(0), least(0.4), least(0.7), least(0.999)]).toEqual([1, 2, 3, 3]);
  loadOf(set, 1).inFlight = loadOf(set, 3).inFlight = 1;
  expect([least(0), least(0.4), least(0.7)]).toEqual([2, 2, 2]);
});

test("Maglev chooses at random without a key, or when the key's endpoint has no room", () => {
  const set = nextEndpoints(NO_ENDPOINTS, clusterOf({ balance: "maglev" }), [instance(1), instance(2)]);
  const options = { balance: "maglev" } as const;
  expect([picked(set, [0, 0], options), picked(set, [0.9, 0], options)]).toEqual([1, 2]);
  const home = picked(set, [0, 0], { ...options, hashKey: "k" }) as number;
  expect(picked(set, [0.9, 0.9], { ...options, hashKey: "k" })).toBe(home);
  loadOf(set, home).inFlight = 10;
  expect(picked(set, [0, 0], { ...options, hashKey: "k" })).toBe(3 - home);
});

test("below the panic threshold an ejected endpoint is used before a refusing one, and a silent one never", () => {
  const set = setOf(instance(1), instance(2), instance(3));
  for (const port of [1, 2, 3]) loadOf(set, port).ejectedUntilMs = 9;
  loadOf(set, 1).avoidUntilMs = 9;
  const ports = () =>
    new Set(
      Array.from({ length: 40 }, (_, at) => {
        let turn = at;
        return pick(set, () => ((turn += 7) % 41) / 41, { ...room, panicPercent: 50 })?.port;
      }),
    );
  expect(ports()).toEqual(new Set([2, 3]));
  for (const port of [2, 3]) loadOf(set, port).avoidUntilMs = 9;
  expect(ports()).toEqual(new Set([1, 2, 3]));
  noteSilent(loadOf(set, 3));
  expect(ports()).toEqual(new Set([1, 2]));
  expect(isDead(set, 8)).toBe(true);
  expect(isDead(set, 9)).toBe(false);
});

test("an endpoint is named by what is spoken to it and how; the instance's word on idle connections goes first", () => {
  const key = (over: object, more: object = {}) => endpointKey(clusterOf(more), instance(1, over));
  expect(key({})).toBe(endpointKey(clusterOf(), instance(1)));
  const of = (over: object) => nextEndpoints(NO_ENDPOINTS, cluster, [instance(1, over)]).endpoints[0];
  expect(of({ keepAliveMs: 5 })?.keepAliveMs).toBe(5);
  expect(of({ keepAliveMs: 5, metadata: { "keep-alive-ms": "7" } })?.keepAliveMs).toBe(7);
  for (const text of ["", "x", "-1", "1234567890"])
    expect(of({ keepAliveMs: 5, metadata: { "keep-alive-ms": text } })?.keepAliveMs).toBe(5);
  expect(of({ address: "2001:db8::1" })).toMatchObject({ hostname: "[2001:db8::1]", authority: "[2001:db8::1]:1" });
  expect(of({ name: "db.example" })).toMatchObject({ serverName: "db.example", authority: "db.example:1" });
  expect(of({ protocol: "udp" })).toBeUndefined();
});

test("an empty set says why each instance is not in it", () => {
  const absence = (...instances: ReturnType<typeof instance>[]) =>
    nextEndpoints(NO_ENDPOINTS, clusterOf({ subset: { tier: "gold" }, panicPercent: 0 }), instances).absence;
  const gold = { metadata: { tier: "gold" } };
  expect(absence()).toBe("none is registered");
  expect(
    absence(
      instance(1),
      instance(2, { ...gold, lifecycle: "draining" }),
      instance(3, { ...gold, weight: 0 }),
      instance(4, { ...gold, address: "169.254.169.254" }),
      instance(5, { ...gold, status: "critical" }),
      instance(6, { ...gold, status: "critical" }),
      instance(7, { ...gold, protocol: "udp" }),
    ),
  ).toBe(
    "of those registered, 1 not in the subset, 1 draining, 1 with a weight of 0, 1 at a forbidden address, " +
      "2 critical, 1 without the port or protocol",
  );
});

test("the workers' views of a cluster are merged: the largest limit, and the worst state that any worker sees", () => {
  const [one, two] = [setOf(instance(1, { zone: "a" }), instance(2)), setOf(instance(1), instance(2))];
  const [a, b] = [loadOf(one, 1), loadOf(two, 1)];
  Object.assign(a.cluster, { inFlight: 2, retrying: 1, connections: 3, pending: 4 });
  Object.assign(b.cluster, { inFlight: 5, retrying: 6, connections: 7, pending: 8 });
  [a.avoidUntilMs, b.avoidUntilMs] = [30, 50];
  b.ejectedUntilMs = 70;
  [a.latencyMs, b.latencyMs] = [9, 4];
  const merged = mergeViews([viewCluster(one, cluster, 10), viewCluster(two, cluster, 10)]) as ClusterView;
  const now = Object.values(merged.breaker).map((part) => part.now);
  expect([Object.keys(merged.breaker), now]).toEqual([
    ["requests", "retries", "connections", "pending"],
    [7, 7, 10, 12],
  ]);
  expect(merged.endpoints[0]).toMatchObject({ zone: "a", avoidedMs: 40, ejectedMs: 60, inFlight: 0 });
  expect(merged.endpoints[0]?.latencyMs).toBeCloseTo(9, 1);
  expect(merged.endpoints[1]).not.toHaveProperty("latencyMs");
  expect(merged.endpoints[1]).not.toHaveProperty("ejectedMs");
  expect(merged.endpoints[1]).not.toHaveProperty("avoidedMs");
  expect(merged.endpoints[1]).not.toHaveProperty("silent");
  // Expired states are not reported.
  const over = viewCluster(two, cluster, 70).endpoints[0];
  expect(over).not.toHaveProperty("ejectedMs");
  expect(over).not.toHaveProperty("avoidedMs");
  const fresh = setOf(instance(1), instance(2));
  adoptView(fresh, merged, 100);
  const [load, other] = [loadOf(fresh, 1), loadOf(fresh, 2)];
  expect([load.ejectedUntilMs, load.avoidUntilMs, load.latencyAtMs]).toEqual([160, 140, 100]);
  expect([load.cluster.inFlight, load.cluster.retrying]).toEqual([7, 7]);
  expect([other.ejectedUntilMs, other.avoidUntilMs, other.latencyMs]).toEqual([100, 100, 0]);
});

test("a view's adaptive limit is adopted as it is, by a cluster that has one", () => {
  const adaptive = clusterOf({ adaptive: { min: 1, max: 500 } });
  const set = nextEndpoints(NO_ENDPOINTS, adaptive, [instance(1)]);
  const view = viewCluster(set, adaptive, 0);
  expect(view.adaptiveLimit).toBe(20);
  adoptView(set, { ...view, adaptiveLimit: 77 }, 0);
  expect(loadOf(set, 1).cluster.gradient?.limit).toBe(77);
  const plain = setOf(instance(1));
  adoptView(plain, { ...view, adaptiveLimit: 77 }, 0);
  expect(loadOf(plain, 1).cluster.gradient).toBeUndefined();
  expect(viewCluster(plain, cluster, 0)).not.toHaveProperty("adaptiveLimit");
});

test("concurrent requests of other workers count, and each change is reported once", () => {
  const limiter = new ConcurrencyLimiter();
  expect(limiter.recorded()).toEqual([]);
  limiter.record();
  expect(limiter.recorded()).toEqual([]);
  limiter.others.set(2, "a", 1);
  expect([limiter.take("a", 2), limiter.take("a", 2), limiter.take("b", 2), limiter.take("b", 2)]).toEqual([
    true,
    false,
    true,
    true,
  ]);
  expect(limiter.recorded()).toEqual([
    ["a", 1],
    ["b", 2],
  ]);
  limiter.release("b");
  limiter.release("a");
  expect(limiter.recorded()).toEqual([
    ["b", 1],
    ["a", 0],
  ]);
  expect([limiter.recorded(), limiter.keys]).toEqual([[], 1]);
  // A release without a take does not count.
  limiter.release("c");
  expect(limiter.keys).toBe(1);
});

test("ten lines of a kind go into a log in any second, and what is left out is counted once", () => {
  const cap = new LineCap();
  const taken = (nowMs: number, count: number, name = "a") =>
    Array.from({ length: count }, () => cap.take(name, nowMs)).filter(Boolean).length;
  expect(taken(0, 3)).toBe(3);
  expect([taken(500, 10), taken(999, 1), taken(1_000, 5), taken(1_499, 1), taken(1_500, 10)]).toEqual([7, 0, 3, 0, 7]);
  expect(cap.leftOut()).toEqual([["a", 3 + 1 + 2 + 1 + 3]]);
  expect(cap.leftOut()).toEqual([]);
  expect([taken(1_500, 11, "b"), LINES_PER_SECOND_MAX]).toEqual([10, 10]);
  expect(cap.leftOut()).toEqual([["b", 1]]);
});

const RATE: SharedPolicy = { requests: 100, per: 1_000, burst: 100 };
const KEY = "k";
function leases() {
  const wants: boolean[] = [];
  const limits = new LeasedLimits((urgent) => wants.push(urgent));
  const grant = (granted: number, remaining: number, nowMs: number, over = {}) =>
    limits.granted(
      limits.asks(32, nowMs),
      [{ key: KEY, granted, remaining, resetMs: 0, validMs: 2_000, ...over }],
      nowMs,
    );
  return { limits, grant, wants };
}

test("a lease asks before it is used up, and says how many are left of all", () => {
  const { limits, grant, wants } = leases();
  expect(limits.take(KEY, RATE, 0)).toEqual({ allowed: true, remaining: 99, resetMs: 50, retryMs: 0 });
  expect(wants).toEqual([]);
  for (let i = 0; i < 2; i++) limits.take(KEY, RATE, 0);
  // Of what an opening holds, less than half of what was used is left.
  expect(wants).toEqual([]);
  limits.take(KEY, RATE, 0);
  expect(wants).toEqual([false]);
  grant(10, 50, 1_000);
  expect(limits.take(KEY, RATE, 1_000)).toMatchObject({ allowed: true, remaining: 110 });
});

test("an ask that failed is made again after a second, with what was used meanwhile, and counts from the first use", () => {
  const { limits } = leases();
  for (let i = 0; i < 4; i++) limits.take(KEY, RATE, 0);
  const asks = limits.asks(32, 10);
  expect(asks).toMatchObject([{ spent: 5, agoMs: 10 }]);
  limits.failed(asks, 10);
  // The gateway continues alone at once, and no request waits.
  for (let i = 0; i < 3; i++) expect(limits.take(KEY, RATE, 100)).toMatchObject({ allowed: true });
  expect(limits.asks(32, 1_009)).toEqual([]);
  limits.take(KEY, RATE, 1_010);
  expect(limits.asks(32, 1_010)).toMatchObject([{ spent: 8, agoMs: 1_010 }]);
  // An ask that reported no usage leaves no first use behind.
  const { limits: other, grant } = leases();
  other.take(KEY, RATE, 0);
  for (let i = 0; i < 4; i++) other.take(KEY, RATE, 0);
  grant(50, 50, 0);
  for (let i = 0; i < 40; i++) other.take(KEY, RATE, 10);
  const quiet = other.asks(32, 10);
  expect(quiet).toMatchObject([{ spent: 0, agoMs: 0 }]);
  other.failed(quiet, 10);
  other.take(KEY, RATE, 1_500);
  expect(other.asks(32, 1_500)).toMatchObject([{ spent: 0, agoMs: 0 }]);
});

test("alone a gateway goes on with the rate that it was granted last, and an answer of nothing is not a rate of nothing", () => {
  const lease = begin(RATE, 0);
  expect(alonePolicy(lease)).toEqual({ requests: 100, perMs: 1_000, burst: 100 });
  expect(alonePolicy({ ...lease, lastRate: 0.01 })).toEqual({ requests: 1, perMs: 100, burst: 20 });
  expect(alonePolicy({ ...lease, lastRate: 1e-6 })).toMatchObject({ burst: 1 });
  expect(alonePolicy({ ...lease, lastRate: 1 })).toMatchObject({ burst: 100 });
  const { limits, grant } = leases();
  for (let i = 0; i < 4; i++) limits.take(KEY, RATE, 0);
  grant(20, 0, 1_000);
  for (let i = 0; i < 21; i++) limits.take(KEY, RATE, 1_000);
  grant(0, 0, 1_100, { resetMs: 100_000 });
  for (let i = 0; i < 30; i++) limits.take(KEY, RATE, 3_200);
  const failing = limits.asks(32, 6_500);
  limits.failed(failing, 6_500);
  const alone = Array.from({ length: 200 }, () => limits.take(KEY, RATE, 6_500)).filter(
    (one) => "allowed" in one && one.allowed,
  );
  // 20 in a second: 40 at once, and not the whole limit of 100.
  expect(alone.length).toBeLessThanOrEqual(50);
});

test("a request that arrives while an ask is under way queues behind the requests that the ask is for", () => {
  const { limits, grant } = leases();
  const policy = { requests: 20, per: 60_000, burst: 20 };
  limits.take(KEY, policy, 0);
  grant(0, 0, 5, { resetMs: 60_000 });
  const waits = limits.take(KEY, policy, 2_965);
  if (!("forMs" in waits)) throw new Error("it does not wait");
  expect(limits.take(KEY, policy, 3_005, waits)).toHaveProperty("forMs");
  expect(limits.asks(32, 3_005)).toMatchObject([{ waiting: 1 }]);
  expect(limits.take(KEY, policy, 3_006)).toMatchObject({ allowed: false, retryMs: 2_999 });
});

test("a lease whose time is over is as good as what is not back yet, and an opening at the least", () => {
  const left = (tokens: number, resetAtMs: number) => {
    const lease = { ...begin(RATE, 0), tokens, resetAtMs };
    lapse(lease, 1_000);
    return lease.tokens;
  };
  expect([left(50, 1_100), left(50, 1_000), left(50, 0), left(3, 1_100)]).toEqual([10, 5, 5, 3]);
  // Of a quota another period has begun.
  const quota = { ...begin({ requests: 100, per: "day", burst: 100 } as const, 0), tokens: 50, resetAtMs: 1_000 };
  lapse(quota, 1_000);
  expect([quota.tokens, quota.spent, quota.resetAtMs]).toEqual([5, 5, 1_000 + 86_400_000]);
});

test("an ask is for those that wait, and for what is used in two seconds beyond what is held", () => {
  const want = (over: Partial<Lease>, nowMs = 1_000) => ask({ ...begin(RATE, 0), ...over }, KEY, nowMs).want;
  expect([want({}), want({ short: 3 }), want({ tokens: 0 }), want({ tokens: 2, short: 200 })]).toEqual([1, 4, 5, 100]);
  // 21 in a second are 20 in one, so 40 in two; as fast as the limit itself at the most.
  expect([want({ tokens: 0, demand: 21 }), want({ tokens: 30, demand: 21 }), want({ tokens: 0, demand: 901 })]).toEqual(
    [40, 10, 100],
  );
});

test("a gateway may borrow what is due up to an opening, including what the ask under way covers", () => {
  const lease = (spent: number, asked: number, resetAtMs = 0): Lease => ({
    ...begin(RATE, 0),
    spent,
    asked: { key: KEY, requests: 100, per: 1, want: 1, spent: asked, agoMs: 0 },
    resetAtMs,
  });
  const one = lease(2, 2);
  expect(borrow(one, 500)).toBe(true);
  expect([one.spent, one.resetAtMs]).toEqual([3, 510]);
  expect([borrow(lease(3, 2), 500), borrow(lease(5, 0), 500), borrow(lease(0, 5), 500)]).toEqual([false, false, false]);
  // Due to the millisecond.
  expect([borrow(lease(0, 0, 1_490), 500), borrow(lease(0, 0, 1_491), 500)]).toEqual([true, false]);
});

test("a rate is due request by request, a quota as a whole", () => {
  const rate = { ...begin(RATE, 0), resetAtMs: 1_000 };
  expect([dueMs(rate, 1, 0), dueMs(rate, 2, 0), dueMs(rate, 100, 0), dueMs(rate, 100, 2_000)]).toEqual([
    10, 20, 1_000, 2_000,
  ]);
  const quota = { ...begin({ requests: 50, per: "day", burst: 50 } as const, 0), remaining: 3, resetAtMs: 9_000 };
  expect([dueMs(quota, 3, 5), dueMs(quota, 4, 5)]).toEqual([5, 9_000]);
  expect(begin({ requests: 10, per: "day", burst: 10 }, 7).resetAtMs).toBe(7 + 86_400_000);
  expect(begin({ requests: 10, per: "month", burst: 10 }, 0).resetAtMs).toBe(30 * 86_400_000);
  // An opening: a twentieth, one at the least, a thousand at the most.
  const openings = [1, 19, 20, 40, 1_000, 20_000, 100_000].map(
    (requests) => begin({ requests, per: 1, burst: requests }, 0).tokens,
  );
  expect(openings).toEqual([1, 1, 1, 2, 50, 1_000, 1_000]);
  // A burst lasts for a tenth of a second at the least.
  expect(sharedRate({ requests: 1_000, perMs: 1_000, burst: 1 })).toEqual({ requests: 1_000, per: 1_000, burst: 100 });
  expect(sharedRate({ requests: 1_000, perMs: 1_000, burst: 101 }).burst).toBe(101);
  expect(sharedRate({ requests: 1e9, perMs: 1, burst: 1 }).burst).toBe(10_000_000);
});

test("a hinted route is as its policy allows it, and of two services that hint one prefix neither has it", () => {
  const hints = new Map([
    ["b", ["/b", "/b/", "/shared"]],
    ["a", ["/shared", "/a/x", "/a//y", "/other", "/q?x"]],
    ["none", ["/none"]],
  ]);
  const { routes, problems } = hintedRoutes(
    {
      hints: [
        { service: "a", within: ["/a/", "/shared"], methods: ["GET"], hosts: ["a.example"], bodyBytesMax: 5 },
        { service: "b", bodyBytesMax: 1e15 },
      ],
    },
    hints,
  );
  expect(routes.map(({ name, service }) => [name, service])).toEqual([
    ["hint:a:/a/x", "a"],
    ["hint:b:/b", "b"],
  ]);
  expect(routes[0]).toMatchObject({
    match: { path: { prefix: "/a/x" }, hosts: ["a.example"], methods: ["GET"] },
    bodyBytesMax: 5,
  });
  expect(routes[1]?.bodyBytesMax).toBeLessThan(1e15);
  expect(routes[1]?.match).toEqual({ path: { prefix: "/b" } });
  expect(problems.map(({ pointer, message }) => `${pointer} ${message}`)).toEqual([
    '/hints/0 Service "a" hints "/a//y", which is not a canonical path.',
    '/hints/0 Service "a" hints "/other", which is outside the prefixes that its "within" allows.',
    '/hints/0 Service "a" hints "/q?x", which is not a canonical path.',
    '/hints a and b hint the same prefix "/shared", so none of them gets a route for it. Remove it from all but one of them.',
  ]);
  const star = hintedRoutes({ hints: [{ service: "*" }] }, new Map([["z", ["/"]]]));
  expect(star.routes.map(({ match }) => match.path?.prefix)).toEqual(["/"]);
  expect(hintedRoutes({}, hints)).toEqual({ routes: [], problems: [] });
});

test("a load of its own is of a cluster of its own", () => {
  expect(newLoad().cluster).not.toBe(newLoad().cluster);
});
