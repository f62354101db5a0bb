/** How an endpoint is chosen, how much is too much, and when a failed call is tried again. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { seededRandom } from "#base";
import { clientNetwork } from "#base/address-class";
import { isDead, pick } from "../../../gateway/core/balancing/balancer.ts";
import { weigh } from "../../../gateway/core/balancing/endpoints.ts";
import {
  AVOID_MS,
  newLoad,
  noteReached,
  noteRefused,
  noteSilent,
  PROBE_MS,
  probeMs,
} from "../../../gateway/core/balancing/endpoint-load.ts";
import { NO_ENDPOINTS, type Endpoint } from "../../../gateway/core/balancing/endpoints.ts";
import { nextEndpoints } from "../../../gateway/core/balancing/next-endpoints.ts";
import { RateLimiter } from "../../../gateway/core/limits/rate-limit.ts";
import { chooseRetry, MOVES_MAX, RetryBudget, type RetryContext } from "../../../gateway/core/balancing/retry.ts";
import { compileTable } from "../../../gateway/core/routing/table.ts";
import { hasDoubleMember } from "#base/plain-json";
import { instance } from "../kit.ts";

const table = compileTable(
  { routes: [{ name: "r", match: { path: { prefix: "/" } }, service: "orders" }] },
  { namespace: "default" },
);
const cluster = [...table.clusters.values()][0] as Endpoint["cluster"];

function endpoints(...weights: number[]): Endpoint[] {
  return weights.map((weight, index) => ({
    id: String(index),
    key: String(index),
    origin: "",
    authority: "",
    hostname: "",
    port: 0,
    secure: false,
    protocol: "http1" as const,
    serverName: undefined,
    keepAliveMs: undefined,
    weight,
    zone: undefined,
    load: newLoad(),
    cluster,
  }));
}

const room = { inFlightMax: Infinity, nowMs: 0 };

test("an idle cluster is shared by weight", () => {
  const weight = fc.integer({ min: 1, max: 100 });
  fc.assert(
    fc.property(fc.array(weight, { minLength: 1, maxLength: 6 }), fc.integer(), (weights, seed) => {
      const random = seededRandom(seed);
      const set = weigh(endpoints(...weights));
      const counts = weights.map(() => 0);
      const draws = 4_000;
      for (let i = 0; i < draws; i++) {
        const index = Number(pick(set, () => random.float(), room)?.id);
        counts[index] = (counts[index] ?? 0) + 1;
      }
      const sum = weights.reduce((a, b) => a + b, 0);
      for (const [index, one] of weights.entries()) {
        expect(Math.abs((counts[index] as number) / draws - one / sum)).toBeLessThan(0.05);
      }
    }),
    { numRuns: 50 },
  );
});

test("requests in flight even out by weight, more closely than random choice alone would", () => {
  const random = seededRandom(7);
  const all = endpoints(100, 100, 100, 200);
  const set = weigh(all);
  for (let i = 0; i < 5_000; i++) (pick(set, () => random.float(), room) as Endpoint).load.inFlight += 1;
  expect(all.map(({ load }) => Math.round(load.inFlight / 100))).toEqual([10, 10, 10, 20]);
});

test("tried, full and refusing endpoints are passed over while another has room", () => {
  const [a, b, c] = endpoints(1, 1, 1) as [Endpoint, Endpoint, Endpoint];
  const set = weigh([a, b, c]);
  const random = seededRandom(3);
  const picked = (options: Partial<Parameters<typeof pick>[2]>) =>
    new Set(Array.from({ length: 200 }, () => pick(set, () => random.float(), { ...room, ...options })?.id));
  expect(picked({ excluded: [a, b] })).toEqual(new Set(["2"]));
  expect(picked({ excluded: [a, b, c] })).toEqual(new Set([undefined]));
  a.load.inFlight = 5;
  b.load.inFlight = 5;
  expect(picked({ inFlightMax: 5 })).toEqual(new Set(["2"]));
  c.load.inFlight = 5;
  expect(picked({ inFlightMax: 5 })).toEqual(new Set([undefined]));
  for (const endpoint of [a, b, c]) endpoint.load.inFlight = 0;
  noteRefused(a.load, 1_000);
  expect(picked({ nowMs: 1_001 })).toEqual(new Set(["1", "2"]));
  expect(picked({ nowMs: 1_001 + AVOID_MS.base })).toEqual(new Set(["0", "1", "2"]));
  for (const endpoint of [b, c]) noteRefused(endpoint.load, 1_000);
  expect(picked({ nowMs: 1_001 })).toEqual(new Set(["0", "1", "2"]));
  noteRefused(a.load, 2_000);
  expect(a.load.avoidUntilMs).toBe(2_000 + AVOID_MS.base * 2);
  noteReached(a.load);
  expect(a.load.avoidUntilMs).toBe(0);
});

test("an endpoint that lets connections hang receives no requests, whatever else is left, until a connection is established", () => {
  const [a, b] = endpoints(1, 1) as [Endpoint, Endpoint];
  const set = weigh([a, b]);
  const random = seededRandom(5);
  const picked = (nowMs: number) =>
    new Set(Array.from({ length: 100 }, () => pick(set, () => random.float(), { ...room, nowMs })?.id));
  noteSilent(a.load);
  expect(picked(1e9)).toEqual(new Set(["1"]));
  expect(isDead(set, 1_000)).toBe(false);
  noteRefused(b.load, 1_000);
  expect(picked(1_001)).toEqual(new Set(["1"]));
  expect(isDead(set, 1_001)).toBe(true);
  noteSilent(b.load);
  expect(picked(1_001)).toEqual(new Set([undefined]));
  noteReached(a.load);
  expect(picked(1_002)).toEqual(new Set(["0"]));
  expect(isDead(weigh([]), 0)).toBe(false);
});

test("a silent endpoint is probed at growing intervals, never in step with others, never more than the cap apart", () => {
  const load = newLoad();
  const most: number[] = [];
  for (let i = 0; i < 8; i++) {
    noteSilent(load);
    most.push(probeMs(load, () => 1));
    expect(probeMs(load, () => 0)).toBe((most.at(-1) as number) / 2);
  }
  expect(most.slice(0, 3)).toEqual([PROBE_MS.base, PROBE_MS.base * 2, PROBE_MS.base * 4]);
  expect(most.at(-1)).toBe(PROBE_MS.cap);
});

test("only well, willing and weighted instances become endpoints, and those that stay keep their load", () => {
  const first = nextEndpoints(NO_ENDPOINTS, cluster, [
    instance(1),
    instance(2, { status: "warning" }),
    instance(3, { status: "critical" }),
    instance(4, { status: "unknown" }),
    instance(5, { lifecycle: "draining" }),
    instance(6, { weight: 0 }),
    instance(7, { address: "169.254.169.254" }),
    instance(8, { address: "::1" }),
    instance(1, { id: "same address" }),
  ]);
  expect(first.endpoints.map(({ origin }) => origin)).toEqual([
    "http://127.0.0.1:1",
    "http://127.0.0.1:2",
    "http://[::1]:8",
  ]);
  (first.endpoints[0] as Endpoint).load.inFlight = 9;
  const second = nextEndpoints(first, cluster, [instance(1, { weight: 7 }), instance(9)]);
  expect(second.endpoints.map(({ load }) => load.inFlight)).toEqual([9, 0]);
  expect(second.ends).toEqual([7, 107]);
  expect(first.endpoints).toHaveLength(3);
});

test("a cluster may use a named port; an instance without that port, or with another protocol on it, is not an endpoint", () => {
  const ports = [
    { name: "admin", port: 9000, protocol: "https" as const },
    { name: "rpc", port: 9001, protocol: "grpc" as const },
    { name: "raw", port: 9002, protocol: "tcp" as const },
  ];
  const instances = [instance(1, { ports }), instance(2), instance(3, { protocol: "tcp" })];
  const origins = (port: string | undefined) =>
    nextEndpoints(NO_ENDPOINTS, { ...cluster, port }, instances).endpoints.map(({ origin }) => origin);
  expect(origins(undefined)).toEqual(["http://127.0.0.1:1", "http://127.0.0.1:2"]);
  expect(origins("admin")).toEqual(["https://127.0.0.1:9000"]);
  expect(origins("rpc")).toEqual(["http://127.0.0.1:9001"]);
  expect(origins("raw")).toEqual([]);
});

test("the protocol is the cluster's, or else the one that the instance registered", () => {
  const spoken = (protocol: Endpoint["cluster"]["protocol"], registered: "http" | "https" | "h2c" | "grpc" | "grpcs") =>
    nextEndpoints(NO_ENDPOINTS, { ...cluster, protocol }, [instance(1, { protocol: registered })]).endpoints.map(
      (endpoint) => `${endpoint.protocol} ${endpoint.origin.split(":")[0]}`,
    )[0];
  expect(spoken(undefined, "http")).toBe("http1 http");
  expect(spoken(undefined, "https")).toBe("http1 https");
  expect(spoken(undefined, "grpc")).toBe("h2 http");
  expect(spoken(undefined, "grpcs")).toBe("h2 https");
  expect(spoken("h2", "https")).toBe("h2 https");
  expect(spoken("h2c", "https")).toBe("h2 http");
  expect(spoken("grpc", "http")).toBe("h2 http");
  expect(spoken("auto", "https")).toBe("auto https");
  expect(spoken("auto", "http")).toBe("http1 http");
  expect(spoken("http1", "h2c")).toBe("http1 http");
});

test("in any time span no key gets more than its burst and its rate", () => {
  const steps = fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 }), steps, (requests, burst, gaps) => {
      const limiter = new RateLimiter();
      const policy = { requests, perMs: 1000, burst };
      const allowed: number[] = [];
      let nowMs = 5_000;
      for (const gap of gaps) {
        nowMs += gap;
        const verdict = limiter.take("k", policy, nowMs);
        if (verdict.allowed) allowed.push(nowMs);
        else
          expect(limiter.take("k", policy, nowMs + Math.ceil(verdict.retryMs)).allowed || verdict.retryMs <= 0).toBe(
            true,
          );
        if (!verdict.allowed) return;
      }
      for (const [from, start] of allowed.entries()) {
        for (let to = from; to < allowed.length; to++) {
          const span = (allowed[to] as number) - start;
          expect(to - from + 1).toBeLessThanOrEqual(burst + (span * requests) / 1000 + 1e-6);
        }
      }
    }),
    { numRuns: 500 },
  );
});

test("the burst comes at once, then one per spacing, and a refusal costs nothing", () => {
  const limiter = new RateLimiter();
  const policy = { requests: 10, perMs: 1000, burst: 3 };
  const take = (nowMs: number) => limiter.take("k", policy, nowMs);
  expect([take(0), take(0), take(0)].map(({ allowed, remaining }) => [allowed, remaining])).toEqual([
    [true, 2],
    [true, 1],
    [true, 0],
  ]);
  for (let i = 0; i < 50; i++) expect(take(0)).toMatchObject({ allowed: false, remaining: 0, retryMs: 100 });
  expect(take(99).allowed).toBe(false);
  expect(take(100).allowed).toBe(true);
  expect(take(100).allowed).toBe(false);
  expect(take(10_000)).toMatchObject({ allowed: true, remaining: 2, resetMs: 100 });
});

test("usage under another policy locks a caller out at most until the current policy has fully refilled", () => {
  const daily = { requests: 10, perMs: 86_400_000, burst: 10 };
  const fast = { requests: 100, perMs: 1_000, burst: 100 };
  const limiter = new RateLimiter();
  for (let i = 0; i < 10; i++) limiter.take("k", daily, 0);
  expect(limiter.take("k", daily, 1).allowed).toBe(false);
  expect(limiter.take("k", fast, 2)).toMatchObject({ allowed: false, resetMs: 1_000, retryMs: 10 });
  // Asking all the time puts it off no further.
  for (let nowMs = 3; nowMs < 12; nowMs++) expect(limiter.take("k", fast, nowMs).allowed).toBe(false);
  expect(limiter.take("k", fast, 12).allowed).toBe(true);
  expect(limiter.take("k", fast, 1_022)).toMatchObject({ allowed: true, remaining: 99 });
});

test("a flood of keys does not grow without end", () => {
  const limiter = new RateLimiter({ keysMax: 100 });
  for (let i = 0; i < 1_000; i++) limiter.take(`k${i}`, { requests: 1, perMs: 1000, burst: 1 }, 0);
  expect(limiter.keys).toBeLessThanOrEqual(100);
  expect(limiter.keys).toBeGreaterThanOrEqual(50);
});

test("an IPv4 address stands for itself in both its forms, an IPv6 one for its /64", () => {
  expect(clientNetwork("10.0.0.1")).toBe("10.0.0.1");
  expect(clientNetwork("::ffff:10.0.0.1")).toBe("10.0.0.1");
  expect(clientNetwork("2001:db8:1:2:3:4:5:6")).toBe(clientNetwork("2001:db8:1:2::1"));
  expect(clientNetwork("2001:db8:1:3::1")).not.toBe(clientNetwork("2001:db8:1:2::1"));
});

const calm: RetryContext = {
  method: "GET",
  hasBody: false,
  bodyStarted: false,
  retries: 0,
  moves: 0,
  policy: { attempts: 1, on: new Set(["connect", "reset"]) },
  refreshed: false,
};
const reset = { error: "UPSTREAM_RESET" as const, connecting: false, reused: false };
const refused = { error: "UPSTREAM_UNREACHABLE" as const, connecting: true, reused: false };

test("only what cannot have had an effect, or may have it twice, is tried again", () => {
  expect(chooseRetry(reset, calm)).toBe("again");
  expect(chooseRetry(reset, { ...calm, method: "PUT", hasBody: true })).toBe("none");
  expect(chooseRetry(reset, { ...calm, method: "POST" })).toBe("none");
  expect(chooseRetry(reset, { ...calm, method: "PATCH" })).toBe("none");
  expect(chooseRetry(reset, { ...calm, retries: 1 })).toBe("none");
  expect(chooseRetry({ ...reset, error: "UPSTREAM_TIMEOUT" }, calm)).toBe("none");
  expect(chooseRetry({ ...reset, error: "UPSTREAM_BAD_ANSWER" }, calm)).toBe("none");
  expect(chooseRetry(refused, { ...calm, method: "POST", hasBody: true })).toBe("move");
  expect(chooseRetry(refused, { ...calm, method: "POST", hasBody: true, bodyStarted: true })).toBe("none");
  expect(chooseRetry(refused, { ...calm, policy: { ...calm.policy, attempts: 0 } })).toBe("none");
});

test("refusals are moved on from beyond the route's attempts, for they cost nothing; hung connections are not", () => {
  expect(chooseRetry(refused, { ...calm, retries: 1 })).toBe("move");
  expect(chooseRetry(refused, { ...calm, moves: MOVES_MAX - 1 })).toBe("move");
  expect(chooseRetry(refused, { ...calm, moves: MOVES_MAX })).toBe("none");
  expect(chooseRetry({ ...refused, error: "UPSTREAM_TIMEOUT" }, calm)).toBe("move");
  expect(chooseRetry({ ...refused, error: "UPSTREAM_TIMEOUT" }, { ...calm, retries: 1 })).toBe("none");
});

test("a dead kept-alive connection is replaced once, before another endpoint is asked", () => {
  expect(chooseRetry({ ...reset, reused: true }, { ...calm, policy: { ...calm.policy, attempts: 0 } })).toBe("fresh");
  expect(chooseRetry({ ...reset, reused: true }, { ...calm, refreshed: true })).toBe("again");
  expect(chooseRetry({ ...reset, reused: true }, { ...calm, method: "POST" })).toBe("none");
});

test("retries stay within a fifth of the requests and three per second", () => {
  const budget = new RetryBudget();
  let granted = 0;
  for (let i = 0; i < 1_000; i++) {
    budget.deposit();
    if (budget.withdraw(1_000)) granted += 1;
  }
  expect(granted).toBeLessThanOrEqual(203);
  expect(granted).toBeGreaterThanOrEqual(200);
  while (budget.withdraw(1_000)) granted += 1;
  let later = 0;
  while (budget.withdraw(2_000)) later += 1;
  expect(later).toBe(3);
});

test("a member named twice is found at any depth, however it is written, and only then", () => {
  const doubled = [
    '{"a":1,"a":2}',
    '{"a":{"b":1,"b":2}}',
    '[{"x":[{"b":1,"\\u0062":2}]}]',
    '{"":1,"":2}',
    "[".repeat(40) + "]".repeat(40),
  ];
  const single = [
    '{"a":{"a":1},"b":["a","a"]}',
    '{"a":"\\"a\\":","b":1}',
    '[{"a":1},{"a":1}]',
    '{"a":",","b":"{"}',
    "{}",
    "3",
  ];
  expect(doubled.filter((text) => !hasDoubleMember(text))).toEqual([]);
  expect(single.filter(hasDoubleMember)).toEqual([]);
  fc.assert(
    fc.property(fc.json({ maxDepth: 4 }), (text) => {
      expect(hasDoubleMember(JSON.stringify(JSON.parse(text)))).toBe(false);
    }),
  );
});
