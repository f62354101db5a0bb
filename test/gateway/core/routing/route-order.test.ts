/**
 * Which route wins: a total order, whatever the order in the file; the index finds what reading all finds; and what
 * gets in the way.
 */
import { METHODS } from "node:http";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { COMMON_METHODS, NAMED_METHODS, type NamedMatch, type RouteConfig } from "../../../../gateway/api.ts";
import { checkGatewayConfig } from "../../../../gateway/core/check/config.ts";
import { mismatchOf, type MatchHead } from "../../../../gateway/core/routing/conditions.ts";
import { compareRanked, hostMatches, type Ranked } from "../../../../gateway/core/routing/route-order.ts";
import { pathCovers, pathMatches, pathOf } from "../../../../gateway/core/paths/path-pattern.ts";
import { compileRegex, literalHead } from "../../../../gateway/core/paths/regex.ts";
import { compileTable, matchRoute } from "../../../../gateway/core/routing/table.ts";

const paths = fc.constantFrom("/", "/a", "/a/b", "/a/bc", "/b", "/b/c/d");
const path = fc.oneof(
  paths.map((prefix) => ({ prefix })),
  paths.map((exact) => ({ exact })),
  fc
    .constantFrom("/{x}", "/a/{x}", "/{x}/b", "/{x}/{y}", "/{x}/", "/{x}/{r=**}", "/a/{r=**}", "/a/b/{r=**}", "/{r=**}")
    .map((template) => ({ template })),
  fc
    .constantFrom(
      "/a.*",
      "/[ab]/.*",
      "/b/c/d",
      ".*",
      "(?i)/A",
      "/a/(b|c).*",
      "/a/b?.*",
      "/a/bc",
      "/a|/b",
      "/b/c/?.*",
      "/",
    )
    .map((regex) => ({ regex })),
);
const hosts = fc.uniqueArray(fc.constantFrom("a.example", "b.a.example", "*.example", "*.a.example"), {
  minLength: 1,
  maxLength: 2,
});
const match = fc.record(
  {
    path,
    hosts,
    methods: fc.uniqueArray(fc.constantFrom("GET" as const, "POST" as const, "PROPFIND" as const), { minLength: 1 }),
    headers: fc.constantFrom<NamedMatch[][]>(
      [{ name: "x-a", exact: "1" }],
      [{ name: "x-a", present: true }],
      [{ name: "x-b", present: false }],
    ),
    query: fc.constantFrom<NamedMatch[][]>([{ name: "q", exact: "1" }], [{ name: "q", regex: "[0-9]" }]),
    cookies: fc.constant<NamedMatch[]>([{ name: "c", prefix: "x" }]),
    scheme: fc.constantFrom("http" as const, "https" as const),
    sourceCidrs: fc.constantFrom<string[][]>(["10.0.0.0/8"], ["192.0.2.1"]),
  },
  { requiredKeys: [] },
);
const routes = fc
  .array(fc.record({ match, priority: fc.integer({ min: 0, max: 1 }) }), { maxLength: 14 })
  .map((made) => made.map((one, index): RouteConfig => ({ name: `r${index}`, service: "s", ...one })));
const head = fc
  .record({
    host: fc.constantFrom("a.example", "b.a.example", "c.example", "x.y.a.example", "other"),
    path: fc.constantFrom("/", "/a", "/a/", "/a/b", "/a/bc", "/A", "/b", "/b/c", "/b/c/d", "/a/b/c/d/e", "/z"),
    method: fc.constantFrom("GET", "POST", "PUT", "PROPFIND"),
    query: fc.constantFrom("", "?q=1", "?q=x"),
    scheme: fc.constantFrom("http" as const, "https" as const),
    client: fc.constantFrom("10.1.2.3", "192.0.2.1", "::ffff:10.0.0.1", "2001:db8::1"),
    headers: fc.record(
      { "x-a": fc.constantFrom("1", "2"), "x-b": fc.constant("1"), cookie: fc.constant("c=xy") },
      { requiredKeys: [] },
    ),
  })
  .map(({ headers, ...rest }): MatchHead => ({
    ...rest,
    listener: "default",
    header: (name) => (headers as Record<string, string | undefined>)[name]?.split("\n") ?? [],
  }));

const compiled = (configs: readonly RouteConfig[]) => compileTable({ routes: [...configs] }, { namespace: "default" });
const nameFor = (configs: readonly RouteConfig[], asked: MatchHead) => matchRoute(compiled(configs), asked).route?.name;

test("the index finds the route that reading all of them in order finds", () => {
  fc.assert(
    fc.property(routes, head, (configs, asked) => {
      const all = compiled(configs).routes.flatMap((route) =>
        (route.hosts.length > 0 ? route.hosts : [""]).map((host) => ({ route, host })),
      );
      const best = all
        .sort(compareRanked)
        .find(
          ({ route, host }) =>
            hostMatches(host, asked.host) &&
            pathMatches(route.path, asked.path) &&
            mismatchOf(route.conditions, asked) === undefined,
        );
      expect(nameFor(configs, asked)).toBe(best?.route.name);
    }),
    { numRuns: 800 },
  );
});

test("the order in the file decides nothing", () => {
  fc.assert(
    fc.property(
      routes,
      fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
      head,
      (configs, chance, asked) => {
        const shuffled = configs
          .map((config) => ({ config, at: chance.next().value as number }))
          .sort((a, b) => a.at - b.at);
        expect(
          nameFor(
            shuffled.map(({ config }) => config),
            asked,
          ),
        ).toBe(nameFor(configs, asked));
      },
    ),
    { numRuns: 300 },
  );
});

test("the order is total: of two different routes one is first, and three are never in a ring", () => {
  fc.assert(
    fc.property(routes, (configs) => {
      const all: Ranked[] = compiled(configs).routes.flatMap((route) =>
        (route.hosts.length > 0 ? route.hosts : [""]).map((host) => ({ route, host })),
      );
      for (const a of all) {
        for (const b of all) {
          const order = Math.sign(compareRanked(a, b));
          expect(order).toBe(-Math.sign(compareRanked(b, a)) + 0);
          if (a !== b) expect(order).not.toBe(0);
          for (const c of all.slice(0, 5))
            if (order < 0 && compareRanked(b, c) < 0) expect(compareRanked(a, c)).toBeLessThan(0);
        }
      }
    }),
    { numRuns: 200 },
  );
});

test("every path of a route that is reported as covered is covered", () => {
  const asked = fc.constantFrom(
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/bc",
    "/A",
    "/b",
    "/b/c",
    "/b/c/d",
    "/a/b/c/d/e",
    "/z",
    "/abc",
  );
  fc.assert(
    fc.property(path, path, asked, (a, b, at) => {
      const [outer, inner] = [pathOf({ path: a }), pathOf({ path: b })];
      if (pathCovers(outer, inner) && pathMatches(inner, at))
        expect([a, b, at, pathMatches(outer, at)]).toEqual([a, b, at, true]);
    }),
    { numRuns: 2_000 },
  );
});

const warningsOf = (configs: RouteConfig[]) => {
  const checked = checkGatewayConfig({ routes: configs });
  return "warnings" in checked ? checked.warnings : [];
};

const few = fc.record({ path, hosts, methods: fc.constant<"GET"[]>(["GET"]) }, { requiredKeys: ["path"] });
const conditioned = fc.record(
  {
    path: fc.constantFrom({ prefix: "/" }, { template: "/a/{r=**}" }, { prefix: "/a" }),
    methods: fc.constant<"GET"[]>(["GET"]),
    headers: fc.constantFrom<NamedMatch[][]>(
      [{ name: "x-a", exact: "1" }],
      [{ name: "x-a", regex: "[01]" }],
      [{ name: "X-A", present: true }],
      [{ name: "x-a", present: false }],
    ),
    query: fc.constantFrom<NamedMatch[][]>([{ name: "q", exact: "1" }], [{ name: "q", present: true }]),
    sourceCidrs: fc.constantFrom<string[][]>(["10.0.0.0/8"], ["10.1.0.0/16"], ["10.1.2.3", "192.0.2.1"], ["0.0.0.0/0"]),
  },
  { requiredKeys: ["path"] },
);

test.for([
  ["paths and hosts", few],
  ["conditions", conditioned],
] as const)("a route that is said never to match wins no request: %s", ([what, made]) => {
  const plain = fc
    .array(fc.record({ match: made as typeof few, priority: fc.integer({ min: 0, max: 2 }) }), {
      minLength: 2,
      maxLength: 10,
    })
    .map((configs) =>
      configs.map((one, index): RouteConfig => {
        // With so few paths most would be in conflict.
        const priority = what === "conditions" ? -index : one.priority;
        return { name: `r${index}`, service: "s", ...one, priority };
      }),
    );
  let shadowed = 0;
  fc.assert(
    fc.property(plain, fc.array(head, { minLength: 30, maxLength: 30 }), (configs, heads) => {
      const names = new Set(warningsOf(configs).map(({ pointer }) => `r${pointer.split("/")[2]}`));
      shadowed += names.size;
      if (names.size === 0) return;
      const table = compiled(configs);
      for (const asked of heads) expect(names).not.toContain(matchRoute(table, asked).route?.name);
    }),
    { numRuns: 500 },
  );
  expect(shadowed).toBeGreaterThan(20);
});

test("every path that a regex matches begins with the prefix found for the regex", () => {
  const pieces = String.raw`/ a b ab . \. \d [ab] []|] [^]a|] [\]|] (a|b) (?:a|/) (?i:a) | a|b a* b? a{0,2} (a|) ^ $ (?i)`;
  const odd = String.raw`\Qa|b\E [[:alpha:]|] %2F ~ -`;
  const piece = fc.constantFrom(...`${pieces} ${odd}`.split(" "));
  const text = fc.array(fc.constantFrom("/", "a", "b", "A", ".", "|", "]", "1", "%2F", "~", "-"), { maxLength: 6 });
  let matched = 0;
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 5 }), fc.array(text, { minLength: 20 }), (made, texts) => {
      const pattern = made.join("");
      const { regex } = compileRegex(pattern);
      for (const one of regex ? texts.map((parts) => parts.join("")) : []) {
        if (!regex?.testExact(one)) continue;
        matched++;
        expect([pattern, one, one.startsWith(literalHead(pattern))]).toEqual([pattern, one, true]);
      }
    }),
    { numRuns: 3_000 },
  );
  expect(matched).toBeGreaterThan(1_000);
  expect(["/api/(v1|v2)/.*", "/a\\.b/[|]", "/ab+", "/a|/b", "(?i)/a", "/a[b|c]*"].map(literalHead)).toEqual([
    "/api/",
    "/a.b/",
    "/a",
    "",
    "",
    "/a",
  ]);
});

test("of thousands of regexes those alone are run whose beginning fits, and many without one are a warning", () => {
  const many = (pattern: (index: number) => string, count = 5_000) =>
    Array.from({ length: count }, (_, index) => route(`r${index}`, { path: { regex: pattern(index) } }));
  const table = compiled(many((index) => `/api/v${index % 3}/service-${index}/(a|[0-9]+)/items`));
  const asked = (at: string): MatchHead => ({
    host: "a",
    path: at,
    method: "GET",
    query: "",
    scheme: "http",
    client: "10.0.0.1",
    listener: "default",
    header: () => [],
  });
  expect(matchRoute(table, asked("/api/v1/service-4/7/items")).route?.name).toBe("r4");
  expect(matchRoute(table, asked("/api/v1/service-44/7/items")).route).toBeUndefined();
  // Counted, for on a busy machine no time says which are looked at: of each the beginning is.
  let looked = 0;
  for (const { path: pattern } of table.routes) {
    const { head: begins } = pattern as { readonly head: string };
    Object.defineProperty(pattern, "head", { get: () => (looked++, begins) });
  }
  for (let service = 0; service < 20; service++) {
    const { route: found } = matchRoute(table, asked(`/api/v${service % 3}/service-${service}/7/items`));
    expect(found?.name).toBe(`r${service}`);
  }
  expect(looked).toBe(20);
  expect(warningsOf(many((index) => `/s${index}/.*`, 60))).toEqual([]);
  expect(warningsOf(many((index) => `(?i)/s${index}/.*`, 60))).toMatchObject([
    { pointer: "/routes/0/match", message: expect.stringMatching(/60 regexes, .* one by one/) as string },
  ]);
});

const route = (name: string, matched: RouteConfig["match"], priority = 0): RouteConfig => ({
  name,
  match: matched,
  service: "s",
  priority,
});

test("a shadowed route is a warning that names its shadow, and a conflict is a problem", () => {
  const shadow = checkGatewayConfig({
    routes: [route("all", { path: { prefix: "/a" } }, 5), route("one", { path: { template: "/a/{id}" } })],
  });
  expect(shadow).toMatchObject({
    problems: [],
    warnings: [
      {
        pointer: "/routes/1/match",
        message: 'Can never match: route "all" comes before it and matches all of its requests.',
      },
    ],
  });
  const template = checkGatewayConfig({
    routes: [route("x", { path: { template: "/a/{id}" } }), route("y", { path: { template: "/a/{name}" } })],
  });
  expect(template.problems[0]).toMatchObject({
    pointer: "/routes/1/match",
    message: expect.stringMatching(/same requests as route "x"/) as string,
  });
  const alike = (first: string, second: string) =>
    checkGatewayConfig({
      routes: [
        route("x", {
          path: { prefix: "/" },
          headers: [
            { name: "A", exact: "1" },
            { name: "b", present: true },
          ],
        }),
        route("y", {
          path: { prefix: "/" },
          headers: [
            { name: first, present: true },
            { name: second, exact: "1" },
          ],
        }),
      ],
    }).problems.length;
  expect([alike("B", "a"), alike("b", "c")]).toEqual([1, 0]);
});

test("covered routes are found segment by segment, and network by network", () => {
  const warned = (before: RouteConfig["match"], after: RouteConfig["match"]) =>
    warningsOf([route("first", before, 5), route("second", after)]).length === 1;
  const template = (before: string, after: NonNullable<RouteConfig["match"]["path"]>) =>
    warned({ path: { template: before } }, { path: after });
  expect(template("/{x}/{y}", { template: "/u/{z}" })).toBe(true);
  expect(template("/u/{z}", { template: "/{x}/{y}" })).toBe(false);
  expect(template("/{x}/{y}", { template: "/u/{z=**}" })).toBe(false);
  expect(template("/{x}/{r=**}", { template: "/u/{y}/v/{z}" })).toBe(true);
  expect(template("/{x}/{y}", { template: "/{x}/" })).toBe(false);
  expect(template("/u/{y=**}", { prefix: "/u/x" })).toBe(true);
  expect(template("/u/{y=**}", { prefix: "/u" })).toBe(false);
  expect(template("/{y=**}", { prefix: "/" })).toBe(false);
  expect(template("/u/{y=**}", { regex: "/u/x[0-9]+" })).toBe(true);
  expect(template("/u/{y=**}", { regex: "/u/[0-9]*" })).toBe(false);

  const source = (before: string[], after: string[]) => warned({ sourceCidrs: before }, { sourceCidrs: after });
  expect(source(["10.0.0.0/8"], ["10.1.0.0/16"])).toBe(true);
  expect(source(["10.1.0.0/16"], ["10.0.0.0/8"])).toBe(false);
  expect(source(["192.0.2.0/24", "10.0.0.0/8"], ["10.1.0.0/16", "192.0.2.9"])).toBe(true);
  expect(source(["10.0.0.0/8"], ["10.1.0.0/16", "192.0.2.9"])).toBe(false);
  expect(source(["::/0"], ["10.1.0.0/16"])).toBe(false);
  expect(warned({ sourceCidrs: ["10.0.0.0/8"] }, {})).toBe(false);

  const header = (before: NamedMatch, after: NamedMatch) => warned({ headers: [before] }, { headers: [after] });
  expect(header({ name: "A", present: true }, { name: "a", exact: "1" })).toBe(true);
  expect(header({ name: "a", prefix: "x" }, { name: "a", prefix: "xy" })).toBe(true);
  expect(header({ name: "a", regex: "[0-9]" }, { name: "a", exact: "1" })).toBe(true);
  expect(header({ name: "a", exact: "1" }, { name: "a", present: true })).toBe(false);
  expect(header({ name: "a", present: true }, { name: "a", present: false })).toBe(false);
});

test("a route that names no listener is on those that take any, and gets in the way of others there", () => {
  const on = (listeners: string[] | undefined, name: string, priority = 0) => ({
    ...route(name, { path: { prefix: "/" } }, priority),
    ...(listeners ? { listeners } : {}),
  });
  const check = (routes: RouteConfig[], ...listeners: object[]) => {
    const { problems, ...rest } = checkGatewayConfig({ listeners, routes });
    return { problems: problems.map(({ message }) => message), warned: "warnings" in rest ? rest.warnings.length : 0 };
  };
  const inside = { name: "inside", port: 1 };
  const named = { ...inside, attach: "named" };
  const same =
    'Matches the same requests as route "a", so one of them would never be used. Change a match or a priority.';
  expect(check([on(undefined, "a"), on(["default"], "b")])).toEqual({ problems: [same], warned: 0 });
  expect(check([on(["default"], "a"), on(undefined, "b")])).toEqual({ problems: [same], warned: 0 });
  expect(check([on(undefined, "a"), on(["inside"], "b")], inside)).toEqual({ problems: [same], warned: 0 });
  expect(check([on(undefined, "a"), on(["inside"], "b")], named)).toEqual({ problems: [], warned: 0 });
  expect(check([on(undefined, "a", 1), on(["default"], "b")], inside)).toEqual({ problems: [], warned: 1 });
  expect(check([on(["default"], "a", 1), on(undefined, "b")], named)).toEqual({ problems: [], warned: 1 });
  expect(check([on(["default"], "a", 1), on(undefined, "b")], inside)).toEqual({ problems: [], warned: 0 });
  expect(check([on(undefined, "a", 1), on(undefined, "b")], inside)).toEqual({ problems: [], warned: 1 });
});

test("five thousand routes are checked for shadows within five seconds", () => {
  const many = Array.from({ length: 5_000 }, (_, index) =>
    route(`r${index}`, { path: { prefix: `/api/v${index % 7}/s${index}` } }),
  );
  const started = performance.now();
  expect(checkGatewayConfig({ routes: many }).problems).toEqual([]);
  expect(performance.now() - started).toBeLessThan(60_000);
});

test("a route may name each method that the parser of HTTP/1.1 knows, but for those that no proxy passes on", () => {
  const known = new Set<string>([...COMMON_METHODS, ...NAMED_METHODS, "CONNECT", "TRACE"]);
  expect(new Set(METHODS)).toEqual(known);
  for (const method of ["TRACE", "CONNECT", "GTE", "get"]) {
    expect(checkGatewayConfig({ routes: [{ ...route("r", {}), match: { methods: [method] } }] }).problems).toHaveLength(
      1,
    );
  }
});
