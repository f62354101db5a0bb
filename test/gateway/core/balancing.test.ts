/** Each way of choosing: fair by weight, away from the slow, stable by hash, near first, gently to newcomers. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { seededRandom } from "#base";
import type { Balance } from "../../../gateway/api.ts";
import { pick } from "../../../gateway/core/balancing/balancer.ts";
import { weigh } from "../../../gateway/core/balancing/endpoints.ts";
import { newLoad, noteLatency } from "../../../gateway/core/balancing/endpoint-load.ts";
import { NO_ENDPOINTS, type Endpoint, type EndpointSet } from "../../../gateway/core/balancing/endpoints.ts";
import { nextEndpoints } from "../../../gateway/core/balancing/next-endpoints.ts";
import { maglev, maglevTable } from "../../../gateway/core/balancing/policies/maglev.ts";
import { compileTable } from "../../../gateway/core/routing/table.ts";
import { instance } from "../kit.ts";

function clusterOf(over: object = {}): Endpoint["cluster"] {
  const table = compileTable({ clusters: [{ name: "c", service: "orders", ...over }] }, { namespace: "default" });
  return table.clusters.get("cluster:c") as Endpoint["cluster"];
}

function setOf(over: object, ...instances: ReturnType<typeof instance>[]): EndpointSet {
  return nextEndpoints(NO_ENDPOINTS, clusterOf(over), instances);
}

/** How often each was chosen, by port. */
function counts(set: EndpointSet, balance: Balance, draws: number, over: object = {}, seed = 1): Map<number, number> {
  const random = seededRandom(seed);
  const counted = new Map<number, number>();
  for (let i = 0; i < draws; i++) {
    const options = { inFlightMax: Infinity, nowMs: 0, balance, hashKey: `client-${i}`, ...over };
    const { port } = pick(set, () => random.float(), options) as Endpoint;
    counted.set(port, (counted.get(port) ?? 0) + 1);
  }
  return counted;
}

const weights = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 2, maxLength: 8 });

test("smooth round robin gives each endpoint exactly its weight per full turn, and never one twice the turns of its neighbors", () => {
  fc.assert(
    fc.property(weights, (given) => {
      const set = setOf({ balance: "round-robin" }, ...given.map((weight, at) => instance(at + 1, { weight })));
      const sum = given.reduce((a, b) => a + b, 0);
      const counted = counts(set, "round-robin", sum * 3);
      expect(given.map((_, at) => counted.get(at + 1))).toEqual(given.map((weight) => weight * 3));
    }),
  );
});

test("chance and Maglev share by weight, within a few percent", () => {
  fc.assert(
    fc.property(weights, fc.integer(), (given, seed) => {
      const draws = 20_000;
      const sum = given.reduce((a, b) => a + b, 0);
      for (const balance of ["random", "maglev"] as const) {
        const set = setOf({ balance }, ...given.map((weight, at) => instance(at + 1, { weight })));
        const counted = counts(set, balance, draws, {}, seed);
        for (const [at, weight] of given.entries()) {
          expect(Math.abs((counted.get(at + 1) ?? 0) / draws - weight / sum)).toBeLessThan(0.03);
        }
      }
    }),
    { numRuns: 20 },
  );
});

test("a Maglev table is made for as many endpoints as its indices can name, and for none beyond", () => {
  const sized = (length: number) => Array.from({ length }, () => ({})) as never[];
  expect(maglev.prepare?.(sized(65_534)).maglev).toBeTypeOf("function");
  expect(maglev.prepare?.(sized(65_535)).maglev).toBeUndefined();
});

test("Maglev sends a caller to the same endpoint on every gateway, and removing an endpoint remaps few keys", () => {
  fc.assert(
    fc.property(fc.integer({ min: 3, max: 20 }), fc.nat(), (count, which) => {
      const all = Array.from({ length: count }, (_, at) => ({ key: `endpoint-${at}`, weight: 100 }));
      const gone = which % count;
      const before = maglevTable(all);
      expect(maglevTable(all)).toEqual(before);
      const left = all.filter((_, at) => at !== gone);
      const after = maglevTable(left);
      let moved = 0;
      for (const [place, index] of before.entries()) {
        const owner = all[index]?.key;
        if (index !== gone && left[after[place] as number]?.key !== owner) moved += 1;
      }
      expect(moved / before.length).toBeLessThan(0.2);
    }),
    { numRuns: 50 },
  );
});

test("a caller of Maglev whose endpoint is ejected meets one other, and comes back", () => {
  const set = setOf({ balance: "maglev" }, ...[1, 2, 3, 4].map((port) => instance(port)));
  const ask = (nowMs: number) =>
    pick(set, () => 0.5, { inFlightMax: 10, nowMs, balance: "maglev", hashKey: "somebody" }) as Endpoint;
  const home = ask(0);
  home.load.ejectedUntilMs = 1_000;
  const away = ask(1);
  expect(away).not.toBe(home);
  expect(ask(2)).toBe(away);
  expect(ask(1_000)).toBe(home);
});

test("least requests takes one with the least for its weight, whatever the chance", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ weight: fc.integer({ min: 1, max: 9 }), inFlight: fc.nat(50) }), {
        minLength: 2,
        maxLength: 8,
      }),
      fc.integer(),
      (given, seed) => {
        const set = setOf({}, ...given.map(({ weight }, at) => instance(at + 1, { weight })));
        for (const endpoint of set.endpoints) {
          endpoint.load.inFlight = given[endpoint.port - 1]?.inFlight as number;
        }
        const random = seededRandom(seed);
        const options = { inFlightMax: Infinity, nowMs: 0, balance: "least-requests" } as const;
        const { load, weight } = pick(set, () => random.float(), options) as Endpoint;
        const least = Math.min(...set.endpoints.map((one) => one.load.inFlight / one.weight));
        expect(load.inFlight / weight).toBeCloseTo(least);
      },
    ),
  );
});

test("p2c avoids the slow one of three under load, and finds out that it no longer is", () => {
  const set = setOf({}, instance(1), instance(2), instance(3));
  const random = seededRandom(7);
  const running: { endpoint: Endpoint; endMs: number }[] = [];
  const served = (slowMs: number, fromMs: number, toMs: number) => {
    const counted = new Map<number, number>();
    for (let nowMs = fromMs; nowMs < toMs; nowMs++) {
      for (const one of running.splice(0)) {
        if (one.endMs > nowMs) running.push(one);
        else one.endpoint.load.inFlight -= 1;
      }
      const endpoint = pick(set, () => random.float(), { inFlightMax: Infinity, nowMs }) as Endpoint;
      const latencyMs = endpoint.port === 3 ? slowMs : 5;
      endpoint.load.inFlight += 1;
      noteLatency(endpoint.load, latencyMs, nowMs);
      running.push({ endpoint, endMs: nowMs + latencyMs });
      counted.set(endpoint.port, (counted.get(endpoint.port) ?? 0) + 1);
    }
    return (counted.get(3) ?? 0) / (toMs - fromMs);
  };
  expect(served(100, 0, 5_000)).toBeLessThan(0.12);
  served(5, 5_000, 60_000);
  expect(served(5, 60_000, 70_000)).toBeGreaterThan(0.2);
});

test("with nothing in flight p2c still avoids the slow one, and shares evenly among those that differ by a hair", () => {
  const share = (latencies: readonly number[]) => {
    const set = setOf({}, ...latencies.map((_, at) => instance(at + 1)));
    const random = seededRandom(3);
    let last = 0;
    for (let nowMs = 0; nowMs < 6_000; nowMs++) {
      const { load, port } = pick(set, () => random.float(), { inFlightMax: 10, nowMs }) as Endpoint;
      noteLatency(load, latencies[port - 1] as number, nowMs);
      if (port === latencies.length) last += 1;
    }
    return last / 6_000;
  };
  expect(share([5, 5, 60])).toBeLessThan(0.02);
  expect(share([10, 10, 11])).toBeGreaterThan(0.3);
});

test("a newcomer begins with a tenth of its share and has all of it after its slow start; the first of all have theirs at once", () => {
  const cluster = clusterOf();
  const old = nextEndpoints(NO_ENDPOINTS, cluster, [instance(1), instance(2), instance(3)], { nowMs: 1_000 });
  expect([...counts(old, "p2c", 3_000, { nowMs: 1_000, slowStartMs: 30_000 }).values()].every((n) => n > 800)).toBe(
    true,
  );
  const set = nextEndpoints(old, cluster, [instance(1), instance(2), instance(3), instance(4)], { nowMs: 2_000 });
  for (const balance of ["p2c", "random", "round-robin"] as const) {
    const share = (nowMs: number) =>
      (counts(set, balance, 10_000, { nowMs, slowStartMs: 30_000 }).get(4) ?? 0) / 10_000;
    expect([balance, share(2_000) < 0.06, share(17_000) > 0.08 && share(17_000) < 0.2]).toEqual([balance, true, true]);
    expect([balance, share(32_000) > 0.22]).toEqual([balance, true]);
  }
});

test("a gateway's own zone is preferred up to 1.4 times its remaining capacity, and not used when it has no endpoint", () => {
  const near = (port: number, over = {}) => instance(port, { zone: "a", ...over });
  const far = (port: number) => instance(port, { zone: "b" });
  const share = (...instances: ReturnType<typeof instance>[]) => {
    const set = nextEndpoints(NO_ENDPOINTS, clusterOf(), instances, { nowMs: 0, zone: "a" });
    const counted = counts(set, "p2c", 4_000);
    return [...counted].filter(([port]) => port < 10).reduce((sum, [, n]) => sum + n, 0) / 4_000;
  };
  expect(share(near(1), near(2), far(11), far(12))).toBe(1);
  // One of four is gone: the other three still bear it all. Of two, one bears 70 %, and its share of the rest.
  const gone = { status: "critical" } as const;
  expect(share(near(1), near(2), near(3), near(4, gone), far(11), far(12))).toBe(1);
  expect(share(near(1), near(2, gone), far(11), far(12))).toBeCloseTo(0.7 + 0.3 / 3, 1);
  expect(share(far(11), far(12))).toBe(0);
});

test("the own zone is left when everybody in it is full", () => {
  const set = nextEndpoints(NO_ENDPOINTS, clusterOf(), [instance(1, { zone: "a" }), instance(2, { zone: "b" })], {
    nowMs: 0,
    zone: "a",
  });
  (set.endpoints.find(({ port }) => port === 1) as Endpoint).load.inFlight = 5;
  expect(pick(set, () => 0.5, { inFlightMax: 5, nowMs: 0 })?.port).toBe(2);
});

test("a subset is those with all of its labels", () => {
  const subset = { subset: { version: "2", tier: "gold" } };
  const set = setOf(
    subset,
    instance(1, { metadata: { version: "2", tier: "gold" } }),
    instance(2, { metadata: { version: "2" } }),
    instance(3, { metadata: { version: "1", tier: "gold" } }),
  );
  expect(set.endpoints.map(({ port }) => port)).toEqual([1]);
});

test("with fewer healthy ones than the panic threshold all are used, but for those that drain; with none, none", () => {
  const critical = { status: "critical" } as const;
  const ports = (...instances: ReturnType<typeof instance>[]) =>
    [setOf({}, ...instances)].map(({ endpoints, panic }) => [endpoints.map(({ port }) => port), panic ?? false])[0];
  expect(ports(instance(1), instance(2, critical))).toEqual([[1], false]);
  expect(ports(instance(1), instance(2, critical), instance(3, critical))).toEqual([[1, 2, 3], true]);
  const draining = instance(4, { lifecycle: "draining" });
  expect(ports(instance(1), instance(2, critical), instance(3, critical), draining)).toEqual([[1, 2, 3], true]);
  expect(ports(instance(2, critical), instance(3, critical))).toEqual([[], false]);
  expect(setOf({ panicPercent: 0 }, instance(1), instance(2, critical), instance(3, critical)).endpoints).toHaveLength(
    1,
  );
});

test("an endpoint that stays keeps what was seen of it, and its cluster what counts for all", () => {
  const cluster = clusterOf({ adaptive: {} });
  const first = nextEndpoints(NO_ENDPOINTS, cluster, [instance(1), instance(2)]);
  const [one] = first.endpoints as [Endpoint, Endpoint];
  one.load.ejections = 3;
  one.load.cluster.inFlight = 9;
  const { gradient } = one.load.cluster;
  const second = nextEndpoints(first, cluster, [instance(1), instance(3)], { nowMs: 5 });
  expect(second.endpoints[0]?.load).toBe(one.load);
  expect(second.endpoints[1]?.load).toMatchObject({ sinceMs: 5, cluster: { inFlight: 9 } });
  expect(second.endpoints[1]?.load.cluster.gradient).toBe(gradient);
});

test("one endpoint of a weighed set is itself", () => {
  const { endpoints } = setOf({}, instance(1));
  expect(pick(weigh(endpoints), () => 0, { inFlightMax: 1, nowMs: 0, balance: "maglev" })?.port).toBe(1);
  expect(newLoad().sinceMs).toBe(-Infinity);
});
