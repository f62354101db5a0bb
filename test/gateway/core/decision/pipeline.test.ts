/** The decision alone: the same snapshot, head and moment give the same answer, and its steps come in their order. */
import { expect, test } from "vitest";
import type { GatewayConfig, RouteConfig } from "../../../../gateway/api.ts";
import { NO_ENDPOINTS } from "../../../../gateway/core/balancing/endpoints.ts";
import { nextEndpoints } from "../../../../gateway/core/balancing/next-endpoints.ts";
import { isBadHead, readHead, type RequestHead } from "../../../../gateway/core/request/head.ts";
import { LeasedLimits } from "../../../../gateway/core/limits/leased-limits.ts";
import {
  decide,
  type GatewaySnapshot,
  type HeaderPair,
  type Moment,
  type Wait,
} from "../../../../gateway/core/decision/pipeline.ts";
import { RateLimiter } from "../../../../gateway/core/limits/rate-limit.ts";
import { compileTable } from "../../../../gateway/core/routing/table.ts";
import { instance } from "../../kit.ts";

function headOf(target: string, headers: Record<string, string> = {}, method = "GET"): RequestHead {
  const head = readHead({
    method,
    target,
    version: "1.1",
    scheme: "http",
    peer: "10.0.0.1",
    rawHeaders: ["Host", "shop.example", ...Object.entries(headers).flat()],
  });
  if (isBadHead(head)) throw new Error(head.detail);
  return head;
}

function snapshotOf(
  over: Partial<RouteConfig>,
  tokens: GatewaySnapshot["tokens"] = { get: () => undefined },
  ports = [1, 2],
): GatewaySnapshot {
  const config: GatewayConfig = {
    routes: [{ name: "r", match: { path: { prefix: "/a" } }, service: "orders", ...over }],
  };
  const table = compileTable(config, { namespace: "default" });
  const endpoints = new Map(
    [...table.clusters].map(([key, cluster]) => [
      key,
      nextEndpoints(
        NO_ENDPOINTS,
        cluster,
        ports.map((port) => instance(port)),
      ),
    ]),
  );
  return { table, endpoints, tokens, limiter: new RateLimiter() };
}

const moment: Moment = { nowMs: 0, wallMs: 1_000, random: () => 0 };
const guarded: Partial<RouteConfig> = {
  jwt: { provider: "idp", forwardClaims: { sub: "X-User" } },
  acl: { allow: [{ claim: "scope", contains: "read" }] },
  rateLimit: { requests: 1, perSeconds: 1, by: { claim: "sub" } },
  rewrite: { prefix: "/b" },
};
const bearer = { authorization: "bearer a.b.c" };

test("an open route forwards, with the path and query for the upstream", () => {
  const decision = decide(snapshotOf({ rewrite: { prefix: "/b" } }), headOf("/a//x?q=1"), moment);
  expect(decision).toMatchObject({ kind: "forward", target: "/b/x?q=1", endpoint: { authority: "127.0.0.1:1" } });
  expect(decide(snapshotOf({}), headOf("/a"), { ...moment, random: () => 0.99 })).toMatchObject({
    endpoint: { authority: "127.0.0.1:2" },
  });
});

test("a token never seen asks to be verified, one seen does not, and nothing is counted before", () => {
  const snapshot = snapshotOf(guarded);
  for (let i = 0; i < 5; i++) {
    expect(decide(snapshot, headOf("/a", bearer), moment)).toMatchObject({
      kind: "verify",
      provider: "idp",
      token: "a.b.c",
    });
  }
  const claims = { sub: "ann", scope: "read" };
  expect(decide(snapshot, headOf("/a", bearer), { ...moment, claims })).toMatchObject({
    kind: "forward",
    target: "/b",
    setHeaders: [["x-user", "ann"]],
  });
  const known = {
    ...snapshot,
    tokens: { get: (_provider: string, token: string) => (token === "a.b.c" ? claims : undefined) },
  };
  expect(decide(known, headOf("/a", bearer), moment)).toMatchObject({ kind: "refuse", flag: "RL" });
});

test("authentication comes before access, access before limits, limits before endpoints", () => {
  const none = snapshotOf(guarded, { get: () => undefined }, []);
  const code = (claims?: Moment["claims"], headers: Record<string, string> = bearer) =>
    (decide(none, headOf("/a", headers), claims ? { ...moment, claims } : moment) as { code?: string }).code;
  expect(code(undefined, {})).toBe("GATEWAY_TOKEN_MISSING");
  expect(code({ sub: "ann" })).toBe("GATEWAY_ACCESS_DENIED");
  expect(code({ sub: "ann", scope: "read" })).toBe("GATEWAY_NO_ENDPOINT");
  expect(code({ sub: "ann", scope: "read" })).toBe("GATEWAY_RATE_LIMITED");
  expect(code({ sub: "bob", scope: "read" })).toBe("GATEWAY_NO_ENDPOINT");
});

test("a limit whose lease is on its way is waited for, with the token's claims, and those before it count once", () => {
  const leases = new LeasedLimits(() => {});
  const by = { claim: "sub" };
  const route = { ...guarded, rateLimit: { requests: 3, perSeconds: 1, by }, quota: { requests: 20, per: "day", by } };
  const snapshot = { ...snapshotOf(route as never), leases };
  const claims = { sub: "ann", scope: "read" };
  const ask = (over: Partial<Moment>) => decide(snapshot, headOf("/a", bearer), { ...moment, claims, ...over });
  expect(ask({}).kind).toBe("forward");
  const waited = ask({}) as Wait;
  expect(waited).toMatchObject({ kind: "wait", verdicts: [{ name: "default", verdict: { remaining: 1 } }] });
  expect(ask({ nowMs: 5, waited })).toMatchObject({ kind: "wait", lease: { untilMs: waited.lease.untilMs } });
  const asks = leases.asks(1, 5);
  const grants = asks.map(({ key }) => ({ key, granted: 1, remaining: 18, resetMs: 60_000, validMs: 60_000 }));
  leases.granted(asks, grants, 9);
  const forward = ask({ nowMs: 9, waited }) as { answerHeaders: readonly HeaderPair[] };
  expect(forward).toMatchObject({ kind: "forward" });
  expect(forward.answerHeaders).toContainEqual(["ratelimit", '"default";r=1;t=1, "quota";r=18;t=60']);
});

test("an invalid bearer token is refused before any signature check", () => {
  const snapshot = snapshotOf(guarded);
  const values = [
    "",
    "Basic eA==",
    "Bearer",
    "Bearer a.b",
    "Bearer a.b.c.d",
    "Bearer a.b.c ",
    "Bearer a.b.c,d",
    "Bearer a.b.=",
    `Bearer a.${"x".repeat(9_000)}.c`,
  ];
  for (const authorization of values) {
    expect(decide(snapshot, headOf("/a", { authorization }), moment)).toMatchObject({
      kind: "refuse",
      code: "GATEWAY_TOKEN_INVALID",
      status: 401,
    });
  }
});

test("callers without the claim of a limit share one allowance", () => {
  const snapshot = snapshotOf({ ...guarded, acl: undefined } as never);
  const flag = (claims: object) =>
    (decide(snapshot, headOf("/a", bearer), { ...moment, claims: claims as never }) as { flag?: string }).flag;
  expect([flag({}), flag({}), flag({ sub: "" }), flag({ sub: "x" })]).toEqual([undefined, "RL", undefined, undefined]);
});

test("under pressure routes are shed by their importance, before any token is looked at", () => {
  const flag = (importance: "critical" | "normal" | "low", pressure: 0 | 1 | 2) => {
    const decision = decide(snapshotOf({ ...guarded, importance }), headOf("/a"), { ...moment, pressure });
    return decision.kind === "refuse" ? decision.flag : decision.kind;
  };
  expect(([0, 1, 2] as const).map((pressure) => flag("low", pressure))).toEqual(["AU", "OM", "OM"]);
  expect(([0, 1, 2] as const).map((pressure) => flag("normal", pressure))).toEqual(["AU", "AU", "OM"]);
  expect(flag("critical", 2)).toBe("AU");
});

test("an adaptive limit leaves its last part to what matters more, and refuses before any queue", () => {
  const config: GatewayConfig = {
    clusters: [{ name: "c", service: "orders", adaptive: {} }],
    routes: (["low", "normal", "critical"] as const).map((importance) => ({
      name: importance,
      match: { path: { prefix: `/${importance}` } },
      cluster: "c",
      importance,
    })),
  };
  const table = compileTable(config, { namespace: "default" });
  const cluster = table.clusters.get("cluster:c");
  if (!cluster) throw new Error("no cluster");
  const set = nextEndpoints(NO_ENDPOINTS, cluster, [instance(1)]);
  const snapshot = { ...snapshotOf({}), table, endpoints: new Map([["cluster:c", set]]) };
  const state = set.endpoints[0]?.load.cluster;
  if (!state?.gradient) throw new Error("no limit");
  const kinds = (share: number) => {
    state.inFlight = (state.gradient?.limit ?? 0) * share;
    return ["/low", "/normal", "/critical"].map((path) => {
      const decision = decide(snapshot, headOf(path), moment);
      return decision.kind === "refuse" ? decision.flag : decision.kind;
    });
  };
  expect(kinds(0.6)).toEqual(["forward", "forward", "forward"]);
  expect(kinds(0.8)).toEqual(["UO", "forward", "forward"]);
  expect(kinds(0.95)).toEqual(["UO", "UO", "forward"]);
  expect(kinds(1)).toEqual(["UO", "UO", "UO"]);
});

test("an explanation takes nothing from shared limits or concurrency limits", () => {
  const snapshot = snapshotOf({
    rateLimit: { requests: 1, perSeconds: 1, by: "route", scope: "cluster" },
    concurrency: { requests: 1, by: "ip" },
  });
  for (let i = 0; i < 3; i++) expect(decide(snapshot, headOf("/a"), moment)).toMatchObject({ kind: "forward" });
});
