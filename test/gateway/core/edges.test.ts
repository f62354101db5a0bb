/** Edges of the gateway's rules: the last case that counts, and the first that does not. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { pick } from "../../../gateway/core/balancing/balancer.ts";
import { clientOrigin, schemeSeen, seenBy } from "../../../gateway/core/request/client-address.ts";
import { CidrSet } from "../../../gateway/core/request/cidr-set.ts";
import { NO_ENDPOINTS, type Endpoint, type EndpointSet } from "../../../gateway/core/balancing/endpoints.ts";
import { nextEndpoints } from "../../../gateway/core/balancing/next-endpoints.ts";
import { noteOutcome, SUCCESS_RATE_ANSWERS_MIN, SUCCESS_RATE_MS } from "../../../gateway/core/balancing/outlier.ts";
import type { RequestHead } from "../../../gateway/core/request/head.ts";
import { pathCovers, pathMatches, pathOf, pathVariables } from "../../../gateway/core/paths/path-pattern.ts";
import { compileTable } from "../../../gateway/core/routing/table.ts";
import { instance } from "../kit.ts";

const trusted = new CidrSet(["10.0.0.0/8"]);

test.for([
  // Read from the right: proxies that are trusted, then the client; what is left of it may be forged.
  [["1.1.1.1, 2.2.2.2, 10.0.0.2"], "2.2.2.2", ["2.2.2.2", "10.0.0.2"]],
  [["1.1.1.1", "10.0.0.3, 10.0.0.2"], "1.1.1.1", ["1.1.1.1", "10.0.0.3", "10.0.0.2"]],
  [["10.0.0.4, 10.0.0.3"], "10.0.0.4", ["10.0.0.4", "10.0.0.3"]],
  // An entry that is not an address ends the chain, wherever it is.
  [["1.1.1.1, junk, 10.0.0.2"], "10.0.0.2", ["10.0.0.2"]],
  [["1.1.1.1, , 10.0.0.2"], "10.0.0.2", ["10.0.0.2"]],
  [["1.1.1.1, junk"], "10.0.0.1", []],
  [["unknown"], "10.0.0.1", []],
  [[], "10.0.0.1", []],
  // With ports and brackets, as some proxies write them.
  [["1.1.1.1:9, [2001:db8::1]:80, 10.0.0.2:1"], "2001:db8::1", ["2001:db8::1", "10.0.0.2"]],
] as const)("X-Forwarded-For %j from a trusted proxy is of %s", ([values, address, chain]) => {
  expect(clientOrigin("10.0.0.1", values, trusted)).toEqual({ address, chain });
  expect(clientOrigin("11.0.0.1", values, trusted)).toEqual({ address: "11.0.0.1", chain: [] });
  expect(clientOrigin("10.0.0.1", values, undefined)).toEqual({ address: "10.0.0.1", chain: [] });
});

test("scheme and client are those that a trusted proxy reports, and no one else", () => {
  const headers: Record<string, string[]> = { "x-forwarded-for": ["1.1.1.1"], "x-forwarded-proto": ["https"] };
  const head = (peer: string, over: Record<string, string[]> = {}) =>
    ({
      peer,
      client: peer,
      scheme: "http",
      header: (name: string) => over[name] ?? headers[name] ?? [],
    }) as unknown as RequestHead;
  expect(seenBy({ trusted }, head("10.0.0.1"))).toMatchObject({ client: "1.1.1.1", scheme: "https" });
  expect(seenBy({ trusted }, head("11.0.0.1"))).toMatchObject({ client: "11.0.0.1", scheme: "http" });
  expect(schemeSeen(head("10.0.0.1", { "x-forwarded-proto": ["ftp"] }), trusted)).toBe("http");
  expect(schemeSeen(head("10.0.0.1", { "x-forwarded-proto": ["http"] }), trusted)).toBe("http");
});

test("the rest of a template is at least one character", () => {
  const rest = pathOf({ path: { template: "/a/{rest=**}" } });
  const one = pathOf({ path: { template: "/a/{id}" } });
  const paths = ["/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/b/c", "/ab"];
  expect(paths.filter((path) => pathMatches(rest, path))).toEqual(["/a/b", "/a/b/", "/a/b/c"]);
  expect(paths.filter((path) => pathMatches(one, path))).toEqual(["/a/b"]);
  expect(pathVariables(rest, "/a/b/c")).toEqual({ rest: "b/c" });
  // A pattern does not cover paths that it does not match.
  expect(pathCovers(rest, pathOf({ path: { exact: "/a/" } }))).toBe(false);
  expect(pathCovers(rest, pathOf({ path: { exact: "/a/b" } }))).toBe(true);
  expect(pathCovers(rest, pathOf({ path: { prefix: "/a" } }))).toBe(false);
  expect(pathCovers(pathOf({ path: { prefix: "/a" } }), rest)).toBe(true);
});

const table = compileTable({ clusters: [{ name: "c", service: "orders" }] }, { namespace: "default" });
const cluster = table.clusters.get("cluster:c") as Endpoint["cluster"];

function setOf(...instances: ReturnType<typeof instance>[]): EndpointSet {
  return nextEndpoints(NO_ENDPOINTS, cluster, instances);
}

const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test("of two choices the second is never the first: the idle one of two is always found", () => {
  const weights = fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 2, maxLength: 2 });
  const same = fc.constant([100, 100]);
  fc.assert(
    fc.property(
      fc.oneof(weights, same),
      fc.array(unit, { minLength: 4, maxLength: 4 }),
      fc.nat(1),
      (given, draws, busy) => {
        const set = setOf(...given.map((weight, at) => instance(at + 1, { weight })));
        const [one, other] = (busy === 0 ? set.endpoints : set.endpoints.toReversed()) as [Endpoint, Endpoint];
        // Far more than the difference of their weights makes up for.
        one.load.inFlight = 1_000_000;
        let at = 0;
        const chosen = pick(set, () => draws[at++ % draws.length] as number, { inFlightMax: Infinity, nowMs: 0 });
        expect(chosen?.key).toBe(other.key);
      },
    ),
  );
});

test("a second draw is each of the others by its weight", () => {
  // Endpoint 1 is so busy that whichever is drawn beside it is chosen.
  for (const [weights, expected] of [
    [
      [100, 100, 100],
      [0, 0.5, 0.5],
    ],
    [
      [100, 300, 100],
      [0, 0.75, 0.25],
    ],
  ] as const) {
    const set = setOf(...weights.map((weight, at) => instance(at + 1, { weight })));
    (set.endpoints[0] as Endpoint).load.inFlight = 1_000_000;
    const counted = [0, 0, 0];
    const steps = 400;
    for (let i = 0; i < steps; i++) {
      // The first draw is endpoint 1, the second goes evenly over the whole range.
      const draws = [0, i / steps];
      const { port } = pick(set, () => draws.shift() ?? 0, { inFlightMax: Infinity, nowMs: 0 }) as Endpoint;
      counted[port - 1] = (counted[port - 1] ?? 0) + 1 / steps;
    }
    for (const [at, share] of expected.entries()) expect(counted[at]).toBeCloseTo(share, 2);
  }
});

test("no second draw repeats the first draw, whichever that was", () => {
  const weights = [100, 300, 100];
  for (const [first, draw] of [0.1, 0.5, 0.9].entries()) {
    const set = setOf(...weights.map((weight, at) => instance(at + 1, { weight })));
    (set.endpoints[first] as Endpoint).load.inFlight = 1_000_000;
    // 400 steps meet each border between two weights exactly.
    for (let i = 0; i < 400; i++) {
      const draws = [draw, i / 400];
      expect(pick(set, () => draws.shift() ?? 0, { inFlightMax: Infinity, nowMs: 0 })?.port).not.toBe(first + 1);
    }
  }
});

test("exactly at the panic percentage there is not yet a panic, and with one endpoint fewer there is", () => {
  const critical = { status: "critical" } as const;
  const healthy = (count: number, of: number) =>
    setOf(...Array.from({ length: of }, (_, at) => instance(at + 1, at < count ? {} : critical)));
  expect([healthy(2, 4).endpoints.length, healthy(2, 4).panic ?? false]).toEqual([2, false]);
  expect([healthy(1, 4).endpoints.length, healthy(1, 4).panic]).toEqual([4, true]);
  // The same bound holds for those that the gateway itself has ejected.
  const options = { inFlightMax: Infinity, nowMs: 0, panicPercent: 50 };
  const chosen = (ejected: number) => {
    const set = setOf(...Array.from({ length: 4 }, (_, at) => instance(at + 1)));
    for (const { load } of set.endpoints.slice(0, ejected)) load.ejectedUntilMs = 1;
    return new Set(
      Array.from({ length: 400 }, (_, i) => {
        let turn = i;
        return pick(set, () => ((turn += 7) % 401) / 401, options)?.port;
      }),
    );
  };
  expect(chosen(2)).toEqual(new Set([3, 4]));
  expect(chosen(3)).toEqual(new Set([1, 2, 3, 4]));
});

/** Endpoints of which the first few succeed half of the time and the others always; how many were ejected. */
function ejectedOf(all: number, bad: number, answers = SUCCESS_RATE_ANSWERS_MIN): number {
  const set = setOf(...Array.from({ length: all }, (_, at) => instance(at + 1)));
  const policy = { ...cluster.outlier, consecutiveErrors: 0, ejectedPercentMax: 100 };
  for (const [at, { load }] of set.endpoints.entries()) {
    for (let i = 0; i < answers; i++) noteOutcome(load, at < bad && i % 2 === 0 ? 500 : 200, { set, policy, nowMs: 0 });
  }
  const last = set.endpoints.at(-1) as Endpoint;
  noteOutcome(last.load, 200, { set, policy, nowMs: SUCCESS_RATE_MS });
  return set.endpoints.filter(({ load }) => load.ejectedUntilMs > SUCCESS_RATE_MS).length;
}

test.for([
  // With k of n at one lower rate, each of these lies √((n − k) / k) deviations below the mean.
  [13, 4, 1.5, 0],
  [13, 3, 1.83, 0],
  [14, 3, 1.91, 3],
  [10, 2, 2, 2],
] as const)("of %i endpoints %i lie %f deviations low: %i are ejected", ([all, bad, , ejected]) => {
  expect(ejectedOf(all, bad)).toBe(ejected);
});

test("rates are compared for exactly as many endpoints and answers as it takes", () => {
  expect([ejectedOf(5, 1), ejectedOf(4, 1)]).toEqual([1, 0]);
  expect([ejectedOf(5, 1, SUCCESS_RATE_ANSWERS_MIN), ejectedOf(5, 1, SUCCESS_RATE_ANSWERS_MIN - 2)]).toEqual([1, 0]);
});
