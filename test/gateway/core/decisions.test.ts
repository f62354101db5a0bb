/** Decisions case by case: tokens, claims, limits, breakers, sessions, mirrors, paths, explanations. */
import { expect, test } from "vitest";
import type { GatewayConfig, RouteConfig } from "../../../gateway/api.ts";
import { allows, claimValues } from "../../../gateway/core/callers/claims.ts";
import { claimHeaders, tokenOf } from "../../../gateway/core/decision/credentials.ts";
import { chooseEncoding } from "../../../gateway/core/decision/encoding.ts";
import { NO_ENDPOINTS, type Endpoint } from "../../../gateway/core/balancing/endpoints.ts";
import { nextEndpoints } from "../../../gateway/core/balancing/next-endpoints.ts";
import { CANDIDATES_MAX, explain } from "../../../gateway/core/decision/explain.ts";
import { BODY_VERDICTS, notLater, VERDICTS, verdictOf } from "../../../gateway/core/request/filter.ts";
import {
  addHeader,
  addVary,
  compileEdits,
  editAnswer,
  renderEdits,
} from "../../../gateway/core/rewriting/header-edits.ts";
import { isBadHead, readHead, type RequestHead } from "../../../gateway/core/request/head.ts";
import { limitedKey } from "../../../gateway/core/decision/limit.ts";
import { canonicalTarget, readTarget } from "../../../gateway/core/paths/path.ts";
import {
  comparePaths,
  grpcPath,
  isWithin,
  parseTemplate,
  pathCovers,
  pathMatches,
  pathOf,
  pathVariables,
  templateShape,
  variableNames,
} from "../../../gateway/core/paths/path-pattern.ts";
import { decide, type GatewaySnapshot, type Moment } from "../../../gateway/core/decision/pipeline.ts";
import { HostTable, Ports } from "../../../gateway/core/request/listener-ports.ts";
import { RateLimiter } from "../../../gateway/core/limits/rate-limit.ts";
import { compileTable, misdirection } from "../../../gateway/core/routing/table.ts";
import { instance } from "../kit.ts";

function headOf(target = "/a", headers: readonly (readonly [string, string])[] = [], over = {}): RequestHead {
  const rawHeaders = ["Host", "shop.example", ...headers.flat()];
  const head = readHead({
    method: "GET",
    target,
    version: "1.1",
    scheme: "http",
    peer: "10.0.0.1",
    rawHeaders,
    ...over,
  });
  if (isBadHead(head)) throw new Error(head.detail);
  return head;
}

function snapshotOf(config: GatewayConfig, instances = [instance(1), instance(2)]): GatewaySnapshot {
  const table = compileTable(config, { namespace: "default" });
  const endpoints = new Map(
    [...table.clusters].map(([key, cluster]) => [key, nextEndpoints(NO_ENDPOINTS, cluster, instances)] as const),
  );
  return { table, endpoints, tokens: { get: () => undefined }, limiter: new RateLimiter() };
}
const routed = (over: Partial<RouteConfig>): GatewayConfig => ({
  routes: [{ name: "r", match: { path: { prefix: "/a" } }, service: "orders", ...over }],
});
const moment: Moment = { nowMs: 0, wallMs: 1_000, random: () => 0 };
const endpointsOf = (snapshot: GatewaySnapshot) =>
  [...snapshot.endpoints.values()][0]?.endpoints as readonly Endpoint[];

test("a bearer token is three parts in one header, and not too long", () => {
  const { table } = snapshotOf(routed({}));
  const route = table.routes[0];
  if (!route) throw new Error("no route");
  const token = (...values: string[]) => {
    const found = tokenOf(
      route,
      headOf(
        "/a",
        values.map((value) => ["Authorization", value] as const),
      ),
    );
    return typeof found === "string" ? found : found.code;
  };
  expect([token("Bearer a.b.c"), token("bearer   a.b-_.c9")]).toEqual(["a.b.c", "a.b-_.c9"]);
  const missing = token();
  const invalid = token("Bearer a.b");
  expect(missing).not.toBe(invalid);
  for (const value of [
    "Basic a.b.c",
    "a.b.c",
    "Bearer a.b.c.d",
    "Bearer a.b.c ",
    "Bearer a..c",
    `Bearer ${"a".repeat(20_000)}.b.c`,
  ])
    expect([value.slice(0, 20), token(value)]).toEqual([value.slice(0, 20), invalid]);
  expect(token("Bearer a.b.c", "Bearer a.b.c")).toBe(invalid);
});

test("claims are forwarded as headers that no value can end or lengthen", () => {
  const headers = (claims: object) =>
    claimHeaders(
      [
        ["sub", "x-sub"],
        ["scope", "x-scope"],
        ["roles", "x-roles"],
        ["/a/b~1c", "x-deep"],
      ],
      claims as never,
    );
  expect(headers({ sub: "a,b%\né" })).toEqual([["x-sub", "a%2Cb%25%0A%C3%A9"]]);
  expect(headers({ scope: "read  write", roles: ["a", 1, true, {}], a: { "b/c": 7 } })).toEqual([
    ["x-scope", "read write"],
    ["x-roles", "a,1,true"],
    ["x-deep", "7"],
  ]);
  expect(headers({ sub: "x".repeat(2_000) })[0]?.[1]).toHaveLength(1_024);
  expect(claimValues({ a: null, b: {}, c: false }, "c")).toEqual(["false"]);
  expect([claimValues({ a: null }, "a"), claimValues({}, "toString"), claimValues({ a: 1 }, "/a/b")]).toEqual([
    [],
    [],
    [],
  ]);
  const entries = [
    {
      all: [
        { claim: "scope", contains: "a" },
        { claim: "sub", anyOf: ["x", "y"] },
      ],
    },
    { claim: "sub", contains: "z" },
  ];
  const letIn = (claims: object) => allows(entries, claims as never);
  expect([letIn({ scope: "a b", sub: "y" }), letIn({ scope: "a" }), letIn({ sub: "x" }), letIn({ sub: "z" })]).toEqual([
    true,
    false,
    false,
    true,
  ]);
  expect(allows([{}] as never, {})).toBe(false);
  expect(allows([{ claim: "sub" }] as never, { sub: "x" })).toBe(false);
});

test("a limit distinguishes callers by address, consumer, header, claim or not at all, with keys of bounded length", () => {
  const head = headOf(
    "/a",
    [
      ["X-Key", "v"],
      ["X-Key", "w"],
    ],
    { peer: "2001:db8:1:2:3::4" },
  );
  const caller = { claims: { sub: "ann" }, consumer: { name: "shop", groups: new Set<string>() } as never };
  const nobody = { claims: undefined, consumer: undefined };
  expect(limitedKey("ip", head, nobody)).toBe("2001:db8:1:2::/64");
  expect(limitedKey("route", head, caller)).toBe("");
  expect([limitedKey("consumer", head, caller), limitedKey("consumer", head, nobody)]).toEqual([
    '["consumer","shop"]',
    '["consumer",""]',
  ]);
  expect(limitedKey({ header: "X-Key" }, head, nobody)).toBe('["header","v","w"]');
  expect([limitedKey({ claim: "sub" }, head, caller), limitedKey({ claim: "sub" }, head, nobody)]).toEqual([
    '["ann"]',
    "[]",
  ]);
  const long = (value: string) => limitedKey({ claim: "sub" }, head, { ...caller, claims: { sub: value } });
  expect(long("x".repeat(252))).toBe(`["${"x".repeat(252)}"]`);
  const [one, two] = [long(`${"x".repeat(260)}a`), long(`${"x".repeat(260)}b`)];
  expect(one).toMatch(/^\["x{254}#\d+\.\d+$/);
  expect(one).not.toBe(two);
});

test("a limit's headers say what is left, in whole seconds, and a refusal when to come back", () => {
  const snapshot = snapshotOf(routed({ rateLimit: { requests: 2, perSeconds: 60, by: "route" } }));
  const ask = (nowMs: number) => decide(snapshot, headOf(), { ...moment, nowMs });
  const header = (decision: ReturnType<typeof decide>, name: string) =>
    Object.fromEntries(
      ("answerHeaders" in decision ? decision.answerHeaders : "headers" in decision ? decision.headers : []) as [
        string,
        string,
      ][],
    )[name];
  expect(header(ask(0), "ratelimit")).toBe('"default";r=1;t=30');
  expect(header(ask(500), "ratelimit")).toBe('"default";r=0;t=60');
  const refused = ask(500);
  expect(refused).toMatchObject({ kind: "refuse", detail: 'Route "r" allows 2 requests in 60 s.' });
  expect([header(refused, "ratelimit"), header(refused, "retry-after")]).toEqual(['"default";r=0;t=30', "30"]);
  expect(header(ask(29_900), "retry-after")).toBe("1");
});

test("a breaker takes as many requests as it may have, with those of other workers", () => {
  const snapshot = snapshotOf({
    clusters: [{ name: "c", service: "orders", breaker: { requestsMax: 5 } }],
    routes: [{ name: "r", match: { path: { prefix: "/a" } }, cluster: "c" }],
  });
  const state = endpointsOf(snapshot)[0]?.load.cluster as Endpoint["load"]["cluster"];
  const kind = () => decide(snapshot, headOf(), moment).kind;
  [state.inFlight, state.others] = [2, { inFlight: 2, retrying: 0 }];
  expect(kind()).toBe("forward");
  state.inFlight = 3;
  expect(decide(snapshot, headOf(), moment)).toMatchObject({
    kind: "refuse",
    detail: expect.stringContaining("5 requests in flight"),
  });
});

test("a service without endpoints, full, refusing or silent is refused in its own words", () => {
  const said = (change: (load: Endpoint["load"], at: number) => void, instances?: ReturnType<typeof instance>[]) => {
    const snapshot = snapshotOf(routed({}), instances);
    for (const [at, { load }] of endpointsOf(snapshot).entries()) change(load, at);
    const decision = decide(snapshot, headOf(), moment);
    return decision.kind === "refuse" ? decision.detail : decision.kind;
  };
  expect(said(() => {})).toBe("forward");
  expect(said(() => {}, [])).toContain("has no healthy endpoint: none is registered.");
  expect(said((load) => (load.inFlight = 1e9))).toContain("has reached its limit of requests in flight");
  expect(said((load) => (load.avoidUntilMs = Infinity))).toBe(
    'No endpoint of service "orders" accepts connections: of its 2, 2 did not answer.',
  );
  const mixed = (load: Endpoint["load"], at: number) => {
    load.avoidUntilMs = at === 0 ? 5 : Infinity;
    load.inFlight = 1e9;
  };
  expect(said(mixed)).toContain("of its 2, 1 refused and 1 did not answer.");
});

test("a sticky session goes to the endpoint that its cookie names, as long as that one takes it", () => {
  const base = snapshotOf(routed({ sticky: { cookie: "s" } }));
  const named = endpointsOf(base)[1] as Endpoint;
  const snapshot: GatewaySnapshot = {
    ...base,
    sticky: { read: (value: string) => (value === "v" ? named.id : undefined) } as never,
  };
  const port = (cookie: string, nowMs = 0) => {
    const decision = decide(snapshot, headOf("/a", [["Cookie", cookie]]), { ...moment, nowMs });
    return decision.kind === "forward" ? [decision.endpoint.port, decision.sticky?.pinned === named.id] : decision.kind;
  };
  expect([port("s=v"), port("s=other"), port("t=v")]).toEqual([
    [2, true],
    [1, false],
    [1, false],
  ]);
  named.load.ejectedUntilMs = 10;
  expect([port("s=v", 9), port("s=v", 10)]).toEqual([
    [1, true],
    [2, true],
  ]);
  named.load.avoidUntilMs = 20;
  expect([port("s=v", 19), port("s=v", 20)]).toEqual([
    [1, true],
    [2, true],
  ]);
  named.load.inFlight = base.table.routes[0]?.backends[0]?.route.cluster.inFlightMax ?? 0;
  expect(port("s=v", 20)).toEqual([1, true]);
});

test("a path that services read in two ways is refused, reported or kept, as its route says", () => {
  const decided = (paths: RouteConfig["paths"], target: string, more: RouteConfig[] = []) => {
    const { routes = [] } = routed(paths === undefined ? {} : { paths });
    const decision = decide(snapshotOf({ routes: [...routes, ...more] }), headOf(target), moment);
    if (decision.kind === "forward") return decision.pathReports ?? "forward";
    return decision.kind === "refuse" ? decision.detail : decision.kind;
  };
  expect(decided(undefined, "/a/b%2Fc")).toBe(
    'The path has an encoded slash. Route "r" can allow it with paths.encodedSlash.',
  );
  expect(decided(undefined, "/x/b%2Fc")).toBe("The path has an encoded slash.");
  expect(decided(undefined, "/a/b;v/c")).toContain("paths.parameters");
  expect(decided({ encodedSlash: "report" }, "/a/b%2Fc")).toEqual(["encodedSlash"]);
  expect(decided({ encodedSlash: "keep" }, "/a/b%2Fc")).toBe("forward");
  expect(decided({ parameters: "keep" }, "/a/b;v/c")).toBe("forward");
  expect(decided({ parameters: "report", encodedSlash: "report" }, "/a/b;v/c%2Fd")).toEqual([
    "encodedSlash",
    "parameters",
  ]);
  // Decoded it would be a path of a route with other rules.
  const other: RouteConfig = { name: "guarded", match: { path: { prefix: "/a/b/c" } }, service: "s" };
  expect(decided({ encodedSlash: "keep" }, "/a/b%2Fc", [other])).toBe(
    "With the slash decoded, the path belongs to another route.",
  );
  expect(decided({ encodedSlash: "keep" }, "/a/b%2Fd", [other])).toBe("forward");
});

test("a route that redirects or answers by itself asks no service", () => {
  const decided = (over: object) =>
    decide(snapshotOf(routed({ service: undefined, ...over } as never), []), headOf("/a/b"), moment);
  expect(decided({ redirect: { prefix: "/c" } })).toMatchObject({
    kind: "answer",
    status: 302,
    headers: expect.arrayContaining([["location", "http://shop.example/c/b"]]),
  });
  expect(decided({ respond: { status: 410, body: "gone" } })).toMatchObject({
    kind: "answer",
    status: 410,
    body: "gone",
  });
});

test("the steps of a decision name the session, the part of a split and the endpoint, where there are such", () => {
  const steps = (over: Partial<RouteConfig>) => {
    const told: string[] = [];
    const trace: NonNullable<Moment["trace"]> = ({ step, detail }) => told.push(`${step}: ${detail}`);
    decide(snapshotOf(routed(over)), headOf(), { ...moment, trace });
    return told.filter((one) => /^(split|sticky|endpoint)/.test(one)).map((one) => one.replace(/: .* at /, ": at "));
  };
  expect(steps({})).toEqual(["endpoint: at 127.0.0.1:1"]);
  expect(steps({ sticky: { cookie: "s" } })).toEqual(["sticky: a new choice", "endpoint: at 127.0.0.1:1"]);
  const split = { service: undefined, split: [{ service: "a" }, { service: "b" }] };
  expect(steps(split as never)).toEqual([expect.stringMatching(/^split: .*a/), "endpoint: at 127.0.0.1:1"]);
});

test("a filter says pass, refuse or nothing; all else is a defect that names it", () => {
  const said = (verdict: unknown, kinds = VERDICTS) => verdictOf("f", verdict as never, kinds);
  for (const verdict of [undefined, { kind: "pass" }, { kind: "refuse" }]) expect(said(verdict)).toBe(verdict);
  expect(() => said({ kind: "pass" }, BODY_VERDICTS)).toThrow('The filter "f" returned a value that is not a verdict.');
  for (const verdict of [null, {}, { kind: "other" }, true])
    expect(() => said(verdict)).toThrow('The filter "f" returned a value that is not a verdict.');
  expect(() => said(Promise.reject(new Error("late")))).toThrow('The filter "f" returned a promise');
  expect(() => notLater("f", undefined)).not.toThrow();
  expect(() => notLater("f", Promise.reject(new Error("late")))).toThrow("a promise");
});

test("a mirror gets its share of the draws, and a mirror of 100 percent gets every request", () => {
  const mirrored = (percent: number, draw: number, instances?: ReturnType<typeof instance>[]) => {
    const snapshot = snapshotOf(routed({ mirror: [{ service: "copy", percent }] }), instances);
    const decision = decide(snapshot, headOf(), { ...moment, random: () => draw });
    return decision.kind === "forward" ? decision.mirrors.map(({ route }) => route.cluster.service) : decision.kind;
  };
  expect([mirrored(50, 0.49), mirrored(50, 0.5), mirrored(100, 0.999)]).toEqual([["copy"], [], ["copy"]]);
});

test.each([
  [["gzip"], "gzip"],
  [["gzip, br"], "br"],
  [["gzip;q=1, br;q=0.5"], "gzip"],
  [["br;q=0, gzip"], "gzip"],
  [["*"], "br"],
  [["*;q=0.1, gzip;q=0.2"], "gzip"],
  [["identity"], undefined],
  [["gzip;q=0.5, identity"], undefined],
  [["gzip;q=0.5, identity;q=0.5"], "gzip"],
  [["gzip;q=0"], undefined],
  [["gzip;q=x"], "gzip"],
  [["br;level=1;q=0.4", "GZIP ; q=0.6"], "gzip"],
  [[], undefined],
  [["deflate"], undefined],
] as const)("a client that accepts %j gets %s", (accept, encoding) => {
  expect(chooseEncoding(accept, ["br", "gzip"])).toBe(encoding);
});

test("header edits are done in order: what a later one removes an earlier one has not put", () => {
  const context = { head: headOf(), route: "r", consumer: undefined, claims: undefined, variables: {} };
  const first = compileEdits({ set: { "X-A": "1" }, add: { "X-B": "{route.name}" }, remove: ["X-C"] }, []);
  const second = compileEdits({ remove: ["X-B"], add: { "x-a": "2" } }, []);
  expect(renderEdits([], context)).toBeUndefined();
  expect(renderEdits([undefined], context)).toBeUndefined();
  const edits = renderEdits([first, undefined, second], context);
  expect(edits).toEqual({
    drop: new Set(["x-c", "x-a", "x-b"]),
    put: [
      ["x-a", "1"],
      ["x-a", "2"],
    ],
  });
  const headers: Record<string, string | string[] | undefined> = { "x-a": "0", "x-b": "0", "x-d": "0" };
  editAnswer(headers, edits as NonNullable<typeof edits>);
  expect(headers).toEqual({ "x-a": ["1", "2"], "x-d": "0" });
  addHeader(headers, "x-a", "3");
  expect(headers["x-a"]).toEqual(["1", "2", "3"]);
  const vary = (before: string | string[] | undefined, word: string) => {
    const one: Record<string, string | string[] | undefined> = { vary: before };
    addVary(one, word);
    return one["vary"];
  };
  expect([vary(undefined, "A"), vary("a", "A"), vary("*", "A"), vary(["a, b", "c"], "D")]).toEqual([
    "A",
    "a",
    "*",
    "a, b, c, D",
  ]);
});

test.each([
  ["/a;x/b", { path: "/a/b", written: "/a;x/b", doubts: ["parameters"] }],
  ["/a;x", { path: "/a", written: "/a;x", doubts: [] }],
  ["/a%3Bx/b", { path: "/a/b", written: "/a%3Bx/b", doubts: ["parameters"] }],
  ["/a%2fb", { path: "/a%2Fb", written: "/a%2Fb", doubts: ["encodedSlash"] }],
  ["/a%2Fb;x/c", { path: "/a%2Fb/c", doubts: ["encodedSlash", "parameters"] }],
  ["/a/b", { path: "/a/b", written: "/a/b", doubts: [] }],
] as const)("the target %s is read, with its doubts", (target, read) => {
  expect(readTarget(target)).toMatchObject({ ok: true, ...read });
});

test.each([
  "/;x/a",
  "/a/;x",
  "/a/..;x",
  "/.;x",
  "/%2Fa",
  "/a%2F",
  "/a%2F%2Fb",
  "/a%2F..%2Fb",
  "/a%2F.",
  "/a%2F;x/b",
  "/..%2Fa",
])("the target %s is refused, for some services read another path", (target) =>
  expect(readTarget(target).ok).toBe(false),
);

test("a target's edges: its length, its query's characters, and what is encoded twice", () => {
  const ok = (target: string) => canonicalTarget(target).ok;
  const longest = Array.from({ length: 20 }, (_, at) => 2 ** at).findLast((length) =>
    ok(`/${"a".repeat(length)}`),
  ) as number;
  let [low, high] = [longest, 2 * longest];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (ok(`/${"a".repeat(middle)}`)) low = middle;
    else high = middle;
  }
  expect(canonicalTarget(`/${"a".repeat(high)}`)).toMatchObject({
    reason: expect.stringContaining(`${low + 1} characters`),
  });
  for (const [character, expected] of [
    [" ", false],
    ["!", true],
    ["~", true],
    ["\u007f", false],
    ["\u0080", true],
    ["\u00ff", true],
    ["\u0100", false],
  ] as const)
    expect([character, ok(`/?${character}`)]).toEqual([character, expected]);
  for (const [target, expected] of [
    ["/%252F", false],
    ["/%255C", false],
    ["/%2500", false],
    ["/%253B", false],
    ["/%2541", false],
    ["/%2525", false],
    ["/%2520", true],
    ["/%25zz", true],
    ["/%25", true],
    ["/%C0%AE", false],
    ["/%E0%80%AE", false],
    ["/%F0%80%80%AE", false],
    ["/%C3%A9", true],
    ["/?#", false],
    ["/#", false],
    ["//a/./b/.", true],
  ] as const)
    expect([target, ok(target)]).toEqual([target, expected]);
  expect(canonicalTarget("/a/.")).toMatchObject({ path: "/a/" });
  expect(canonicalTarget("/.")).toMatchObject({ path: "/" });
  expect(canonicalTarget("/\u00e9\u0001")).toMatchObject({ path: "/%E9%01" });
});

test("a template is segments, each a text or a variable, of which the last may take all that is left", () => {
  expect(parseTemplate("/a/{id}/{rest=**}")).toEqual([
    { literal: "a" },
    { variable: "id", rest: false },
    { variable: "rest", rest: true },
  ]);
  const problem = (template: string) => (parseTemplate(template) as { problem?: string }).problem;
  expect(problem("/a/b")).toContain("The template has no variable");
  expect(problem("/a{id}")).toContain('"a{id}" is not a valid segment');
  expect(problem("/{id}/{id}")).toContain('"id" occurs twice');
  expect(problem("/{rest=**}/a")).toContain("it must be the last segment");
  expect(problem(`/{${"a".repeat(64)}}`)).toBeUndefined();
  expect(problem(`/{${"a".repeat(65)}}`)).toContain("is not a valid segment");
  const pattern = pathOf({ path: { template: "/a/{id}/{rest=**}" } });
  expect(pathVariables(pattern, "/a/7/b/c")).toEqual({ id: "7", rest: "b/c" });
  expect(variableNames(pattern)).toEqual(["id", "rest"]);
  const regex = pathOf({ path: { regex: "/(?P<id>[0-9]+)(/(?P<more>x))?" } });
  expect([variableNames(regex).toSorted(), pathVariables(regex, "/7"), pathVariables(regex, "/x")]).toEqual([
    ["id", "more"],
    { id: "7", more: "" },
    {},
  ]);
  expect(variableNames(pathOf({ path: { prefix: "/a" } }))).toEqual([]);
  expect(["/{a}", "/{b=**}", "/x/{c}"].map((one) => templateShape(parseTemplate(one) as never))).toEqual([
    "{}",
    "{**}",
    "x/{}",
  ]);
});

test("a prefix is of whole segments, and a path without one is all paths", () => {
  const within = [
    ["/a", "/a"],
    ["/a/b", "/a"],
    ["/ab", "/a"],
    ["/", "/a"],
    ["/x", "/"],
  ] as const;
  expect(within.map(([path, prefix]) => isWithin(path, prefix))).toEqual([true, true, false, false, true]);
  expect(
    [pathOf({}), pathOf({ path: { prefix: "/a/" } }), pathOf({ path: { prefix: "/" } })].map((one) => one.value),
  ).toEqual(["/", "/a", "/"]);
  const template = pathOf({ path: { template: "/a/{x}/c" } });
  expect(
    ["/a/b/c", "/a//c", "/a/b/d", "/a/b", "/a/b/c/", "/a/b/c/d"].map((path) => pathMatches(template, path)),
  ).toEqual([true, false, false, false, false, false]);
});

test("gRPC's path is the service's, the method's, or both", () => {
  expect(grpcPath({ service: "s" })).toEqual({ prefix: "/s" });
  expect(grpcPath({ service: "s", method: "m" })).toEqual({ exact: "/s/m" });
  expect(grpcPath({ method: "m" })).toEqual({ template: "/{service}/m" });
  expect(grpcPath({ type: "regex", service: "a|b" })).toEqual({ regex: "/(?:a|b)/[^/]+" });
  expect(grpcPath({ type: "regex", method: "m.*" })).toEqual({ regex: "/[^/]+/m.*" });
});

test("the more exact path comes first, and covers less", () => {
  const of = (path: NonNullable<Parameters<typeof pathOf>[0]["path"]>) => pathOf({ path });
  const ordered = [
    { exact: "/a" },
    { template: "/a/b/{x}" },
    { template: "/a/{x}/{y}" },
    { template: "/aa/{x}" },
    { template: "/a/{x}" },
    { template: "/a/b/{x=**}" },
    { regex: "/long.*" },
    { regex: "/l.*" },
    { prefix: "/ab" },
    { prefix: "/a" },
  ].map(of);
  for (const [at, one] of ordered.entries())
    for (const other of ordered.slice(at + 1))
      expect([comparePaths(one, other) < 0, comparePaths(other, one) > 0]).toEqual([true, true]);
  const covers = (a: object, b: object) => pathCovers(of(a), of(b));
  for (const [a, b, expected] of [
    [{ prefix: "/a" }, { regex: "/a/.*" }, true],
    [{ prefix: "/a" }, { regex: "/a" }, false],
    [{ prefix: "/a" }, { regex: "/ab.*" }, false],
    [{ prefix: "/a" }, { prefix: "/a/b" }, true],
    [{ prefix: "/a" }, { template: "/a/{x}" }, true],
    [{ template: "/a/{x}" }, { template: "/a/{y}" }, true],
    [{ template: "/a/{x}" }, { template: "/b/{y}" }, false],
    [{ template: "/a/{x}" }, { template: "/a/{y=**}" }, false],
    [{ template: "/a/{x=**}" }, { template: "/a/b/{y}" }, true],
    [{ template: "/{x}/b" }, { template: "/a/{y}" }, false],
    [{ template: "/a/{x}" }, { template: "/a/{x}/{y}" }, false],
    [{ template: "/a/{x}/{y}" }, { template: "/a/{x}" }, false],
    [{ template: "/a/{x=**}" }, { prefix: "/a/b" }, true],
    [{ template: "/a/{x=**}" }, { prefix: "/a" }, false],
    [{ template: "/a/{x=**}" }, { prefix: "/b/c" }, false],
    [{ template: "/a/{x}" }, { prefix: "/a/b" }, false],
    [{ template: "/a/{x=**}" }, { regex: "/a/b.*" }, true],
    [{ exact: "/a" }, { exact: "/a" }, true],
    [{ exact: "/a" }, { prefix: "/a" }, false],
    [{ regex: "/a+" }, { exact: "/aa" }, true],
    [{ regex: "/a+" }, { regex: "/a+" }, true],
    [{ regex: "/a+" }, { regex: "/aa" }, false],
  ] as const)
    expect([a, b, covers(a, b)]).toEqual([a, b, expected]);
});

test("among listeners that share a port, only the one with the most specific match gets a host", () => {
  const table = new HostTable([
    [["*.Example"], "wild"],
    [["a.example", "*.b.example"], "own"],
  ] as const);
  const hosts = ["a.example", "x.example", "x.y.example", "b.example", "x.b.example", "example", "other"];
  expect(hosts.map((host) => table.of(host))).toEqual(["own", "wild", "wild", "wild", "own", undefined, undefined]);
  expect(new HostTable([[["*.example"], 1]]).of("a.example")).toBe(1);
  const any = new HostTable([
    [undefined, "first"],
    [undefined, "second"],
    [["a.example"], "own"],
  ] as const);
  expect([any.of("b.example"), any.of("a.example")]).toEqual(["first", "own"]);
  const ports = new Ports([
    { name: "alone", port: 1, hosts: ["a.example"] },
    { name: "one", port: 2, hosts: ["a.example"] },
    { name: "two", port: 2, hosts: ["b.example"] },
    { name: "own" },
  ]);
  expect([ports.of(1, "x"), ports.of(2, "b.example"), ports.of(2, "x"), ports.of(3, "x")]).toEqual([
    "alone",
    "two",
    "",
    "",
  ]);
  const misdirected = (port: number, serverName: string, host: string) => ports.misdirected(port, { serverName, host });
  expect([misdirected(1, "a.example", "b.example"), misdirected(3, "a.example", "b.example")]).toEqual([false, false]);
  expect([
    misdirected(2, "a.example", "b.example"),
    misdirected(2, "a.example", "a.example"),
    misdirected(2, "a.example", "x"),
  ]).toEqual([true, false, false]);
});

test("a connection that was opened under other rules carries no request for these", () => {
  const pem = "-----BEGIN CERTIFICATE-----\nMAo=\n-----END CERTIFICATE-----\n";
  const table = compileTable(
    {
      listeners: [
        { name: "open", port: 1, hosts: ["a.example"], tls: true },
        { name: "other", port: 1, hosts: ["b.example"], tls: true },
        { name: "strict", port: 2, tls: true, clientCertificates: { ca: pem } },
        { name: "lenient", port: 3, tls: true, clientCertificates: { ca: pem, mode: "verify-if-given" } },
      ] as never,
    },
    { namespace: "default" },
  );
  const tls = { serverName: "a.example", trusts: undefined, certificate: undefined };
  const asks = (listener: string, host: string, port: number | undefined, more: object = {}, shown?: string) =>
    misdirection(
      table,
      { ...headOf(), listener, host, clientCertificate: shown },
      {
        ...({ method: "GET", target: "/", version: "1.1", scheme: "https", peer: "10.0.0.1", rawHeaders: [] } as const),
        port,
        tls: { ...tls, ...more },
      },
    );
  expect(asks("open", "a.example", 1)).toBeUndefined();
  expect(asks("other", "b.example", 1)).toContain("opened for a.example");
  expect(asks("other", "b.example", undefined)).toBeUndefined();
  expect(asks("other", "b.example", 1, { serverName: undefined })).toBeUndefined();
  const trusts = table.listeners.get("strict")?.clientCertificates?.ca;
  expect(asks("strict", "a.example", 2, { trusts }, "Hash=1")).toBeUndefined();
  expect(asks("strict", "a.example", 2, { trusts })).toContain(
    "before the listener's client certificate settings changed",
  );
  expect(asks("strict", "a.example", 2, {}, "Hash=1")).toContain(
    "before the listener's client certificate settings changed",
  );
  expect(asks("lenient", "a.example", 3, { trusts })).toBeUndefined();
  expect(asks("lenient", "a.example", 3)).toContain("before the listener's client certificate settings changed");
});

test("an explanation tells the closest candidates first, a hundred at most, and no secret of the caller's", () => {
  const route = (name: string, match: RouteConfig["match"], more: Partial<RouteConfig> = {}): RouteConfig => ({
    name,
    match,
    service: "orders",
    ...more,
  });
  const config: GatewayConfig = {
    routes: [
      route("host", { hosts: ["b.example"], path: { prefix: "/a" } }),
      route("path", { path: { prefix: "/b" } }),
      route("method", { path: { prefix: "/a" }, methods: ["POST"] }),
      route("scheme", { path: { prefix: "/a" }, scheme: "https" }),
      route("source", { path: { prefix: "/a" }, sourceCidrs: ["11.0.0.0/8"] }),
      route("header", {
        path: { prefix: "/a" },
        headers: [
          { name: "x-a", exact: "1" },
          { name: "x-b", present: true },
        ],
      }),
      route(
        "fits",
        { path: { prefix: "/a/b" } },
        {
          requestHeaders: { set: { "X-Copy": "{request.query.token}" } },
        },
      ),
      route("later", { path: { prefix: "/a" } }),
    ],
  };
  const snapshot = snapshotOf(config);
  const headers = [
    ["Authorization", "Bearer s3cret-s3cret"],
    ["Cookie", "sid=c00kie; b=abc"],
    ["X-Note", "abc"],
  ] as const;
  const explained = (over: GatewaySnapshot, target: string) => {
    const head = headOf(target, headers);
    return explain(over, { head, rawHeaders: ["Host", "shop.example", ...headers.flat()] }, moment);
  };
  const told = explained(snapshot, "/a/b?token=t0ken&q=1");
  expect(told.candidates.map((one) => `${one.route} ${one.verdict} ${one.reason}`)).toEqual([
    "fits chosen the first match",
    'later lost "fits" comes before it by path',
    "method lost method is not POST",
    "header lost header: not x-a = 1 and x-b present",
    "source lost the client is not in 11.0.0.0/8",
    "scheme lost the scheme is not https",
    "path lost path is not prefix /b",
    "host lost host is not b.example",
  ]);
  const text = JSON.stringify(told);
  for (const secret of ["s3cret", "c00kie", "t0ken"]) expect([secret, text.includes(secret)]).toEqual([secret, false]);
  // A value shorter than four characters is a word, not a secret.
  expect(told.outcome).toMatchObject({ kind: "forward", headers: { "x-note": "abc", "x-copy": "(hidden)" } });
  const many = snapshotOf({
    routes: Array.from({ length: 120 }, (_, at) => route(`r${at}`, { path: { exact: `/x${at}` } })),
  });
  expect(explained(many, "/x119").candidates).toHaveLength(CANDIDATES_MAX);
  expect(explained(many, "/x119").candidates[0]?.route).toBe("r119");
});

test("a request whose caller gives it no time is explained as refused, one with a millisecond as sent", () => {
  const snapshot = snapshotOf(routed({ deadlineHeader: "x-time" }));
  const outcome = (ms: string) => {
    const headers = [["X-Time", ms]] as const;
    return explain(snapshot, { head: headOf("/a", headers), rawHeaders: headers.flat() }, moment).outcome;
  };
  expect(outcome("0")).toMatchObject({ kind: "refuse", detail: expect.stringContaining("time was up") });
  expect(outcome("1")).toMatchObject({ kind: "forward", headers: { "x-time": "1" } });
});
