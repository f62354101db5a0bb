/** Which route matches a request, and which configs are refused before they take effect. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { GatewayConfig, RouteConfig } from "../../../../gateway/api.ts";
import type { MatchHead } from "../../../../gateway/core/routing/conditions.ts";
import { checkGatewayConfig } from "../../../../gateway/core/check/config.ts";
import { compileTable, hostMatches, matchRoute, upstreamPath } from "../../../../gateway/core/routing/table.ts";
import { gatewayReleaseCheck, parseGatewayConfig } from "../../../../gateway/config-text.ts";

const route = (name: string, match: RouteConfig["match"], over: Partial<RouteConfig> = {}): RouteConfig => ({
  name,
  match,
  service: "s",
  ...over,
});
const prefix = (value: string, rest: object = {}) => ({ path: { prefix: value }, ...rest });
const exact = (value: string, rest: object = {}) => ({ path: { exact: value }, ...rest });
const tableOf = (...routes: RouteConfig[]) => compileTable({ routes }, { namespace: "default" });
const headOf = (host: string, path: string, method = "GET"): MatchHead => ({
  host,
  path,
  method,
  query: "",
  client: "10.0.0.1",
  listener: "default",
  scheme: "http",
  header: () => [],
});
const nameOf = (table: ReturnType<typeof tableOf>, host: string, path: string, method = "GET") =>
  matchRoute(table, headOf(host, path, method)).route?.name;

test("priority, then host, then path, then method decide", () => {
  const table = tableOf(
    route("root", prefix("/")),
    route("a", prefix("/a")),
    route("a-b", prefix("/a/b")),
    route("a-b-exact", exact("/a/b")),
    route("a-get", prefix("/a", { methods: ["GET"] })),
    route("wild", prefix("/", { hosts: ["*.example"] })),
    route("longer-wild", prefix("/", { hosts: ["*.b.example"] })),
    route("host", prefix("/", { hosts: ["a.b.example"] })),
    route("first", prefix("/urgent"), { priority: 1 }),
  );
  expect(nameOf(table, "x", "/zzz")).toBe("root");
  expect(nameOf(table, "x", "/a")).toBe("a-get");
  expect(nameOf(table, "x", "/a", "POST")).toBe("a");
  expect(nameOf(table, "x", "/ab")).toBe("root");
  expect(nameOf(table, "x", "/a/b")).toBe("a-b-exact");
  expect(nameOf(table, "x", "/a/b/")).toBe("a-b");
  expect(nameOf(table, "x", "/a/bc")).toBe("a-get");
  expect(nameOf(table, "c.example", "/a")).toBe("wild");
  expect(nameOf(table, "example", "/zzz")).toBe("root");
  expect(nameOf(table, "c.b.example", "/a")).toBe("longer-wild");
  expect(nameOf(table, "a.b.example", "/a")).toBe("host");
  expect(nameOf(table, "a.b.example", "/urgent/x")).toBe("first");
});

test("the index by host and first segment finds what reading all routes finds", () => {
  const hosts = fc.constantFrom("a.example", "b.a.example", "*.example", "*.a.example");
  const paths = fc.constantFrom("/", "/a", "/a/b", "/b", "/b/c/d");
  const routes = fc.array(
    fc.record({
      hosts: fc.option(fc.uniqueArray(hosts, { minLength: 1, maxLength: 2 }), { nil: undefined }),
      path: fc.oneof(
        paths.map((value) => ({ prefix: value })),
        paths.map((value) => ({ exact: value })),
      ),
      method: fc.option(fc.constantFrom("GET", "POST"), { nil: undefined }),
      priority: fc.integer({ min: 0, max: 2 }),
    }),
    { maxLength: 12 },
  );
  const asked = fc.record({
    host: fc.constantFrom("a.example", "b.a.example", "c.example", "x.y.a.example", "other"),
    path: fc.constantFrom("/", "/a", "/a/b", "/a/bc", "/b/c", "/b/c/d", "/z"),
    method: fc.constantFrom("GET", "POST"),
  });
  fc.assert(
    fc.property(routes, asked, (made, head) => {
      const configs = made.map(({ hosts, path, method, priority }, index) =>
        route(
          `r${index}`,
          {
            path,
            ...(hosts ? { hosts } : {}),
            ...(method ? { methods: [method as "GET"] } : {}),
          },
          { priority },
        ),
      );
      const rank = ({ match }: RouteConfig) =>
        match.hosts
          ? Math.max(
              ...match.hosts.map((one) =>
                !hostMatches(one, head.host) ? -1 : one.startsWith("*.") ? one.length : 1000,
              ),
            )
          : 0;
      const matches = (config: RouteConfig) => {
        const { path = {}, methods } = config.match;
        const inPrefix = path.prefix === "/" || head.path === path.prefix || head.path.startsWith(`${path.prefix}/`);
        const onPath = path.exact === undefined ? inPrefix : path.exact === head.path;
        return rank(config) >= 0 && onPath && (!methods || methods.includes(head.method));
      };
      const length = ({ match }: RouteConfig) => (match.path?.exact ?? match.path?.prefix ?? "").length;
      const [best] = configs
        .map((config) => ({ config }))
        .filter(({ config }) => matches(config))
        .sort(
          (a, b) =>
            (b.config.priority ?? 0) - (a.config.priority ?? 0) ||
            rank(b.config) - rank(a.config) ||
            Number(b.config.match.path?.exact !== undefined) - Number(a.config.match.path?.exact !== undefined) ||
            length(b.config) - length(a.config) ||
            Number(b.config.match.methods !== undefined) - Number(a.config.match.methods !== undefined) ||
            (a.config.name < b.config.name ? -1 : 1),
        );
      expect(matchRoute(tableOf(...configs), headOf(head.host, head.path, head.method)).route?.name).toBe(
        best?.config.name,
      );
    }),
    { numRuns: 2_000 },
  );
});

test("a path that matches but for its method tells the methods", () => {
  const table = tableOf(
    route("a", prefix("/a", { methods: ["PUT", "DELETE"] })),
    route("b", prefix("/a", { methods: ["POST"] })),
  );
  expect(matchRoute(table, headOf("x", "/a"))).toMatchObject({
    route: undefined,
    allow: ["POST", "PUT", "DELETE"],
  });
});

test("a rewritten path always starts with one slash", () => {
  const paths = fc.constantFrom("/", "/a", "/a/b");
  fc.assert(
    fc.property(paths, paths, fc.constantFrom("", "/", "/x", "/x/"), (from, to, rest) => {
      const [compiled] = tableOf(route("r", prefix(from), { rewrite: { prefix: to } })).routes;
      const path = from === "/" ? rest || "/" : from + rest;
      expect(upstreamPath(compiled as never, path)).toMatch(/^\/(?!\/)/);
    }),
  );
});

const idp = {
  name: "idp",
  issuer: "https://idp.example",
  audience: ["a"],
  algorithms: ["ES256" as const],
  jwks: { url: "https://idp.example/jwks" },
};
const good: GatewayConfig = { jwt: [idp], routes: [route("r", prefix("/"), { jwt: { provider: "idp" } })] };

test("a good config has no problems, and nothing at all is a gateway without routes", () => {
  expect(checkGatewayConfig(good).problems).toEqual([]);
  expect(checkGatewayConfig(null).problems).toEqual([]);
});

const bad: [string, unknown, string, RegExp][] = [
  [
    "TLS for a protocol in the clear",
    { clusters: [{ name: "c", service: "s", protocol: "h2c", tls: { serverName: "s.internal" } }] },
    "/clusters/0/protocol",
    /does not use TLS/,
  ],
  ["an unknown field", { ...good, rotues: [] }, "/rotues", /Unknown field "rotues"/],
  ["an unknown field inside", { routes: [{ ...route("r", prefix("/")), x: 1 }] }, "/routes/0/x", /Unknown field/],
  ["a missing field", { routes: [{ name: "r", service: "s" }] }, "/routes/0", /Missing: "match"/],
  ["a wrong type", { routes: [route("r", prefix("/"), { priority: "1" as never })] }, "/routes/0/priority", /integer/],
  ["a list for a config", [], "", /object/],
  ["algorithm none", { jwt: [{ ...idp, algorithms: ["none"] }] }, "/jwt/0/algorithms/0", /one of RS256/],
  ["a shared-secret algorithm", { jwt: [{ ...idp, algorithms: ["HS256"] }] }, "/jwt/0/algorithms/0", /one of RS256/],
  ["keys over http", { jwt: [{ ...idp, jwks: { url: "http://idp.example/jwks" } }] }, "/jwt/0/jwks/url", /https/],
  [
    "keys from a URL without a host name",
    { jwt: [{ ...idp, jwks: { url: "https://a..b/jwks" } }] },
    "/jwt/0/jwks/url",
    /host name/,
  ],
  ["no audience", { jwt: [{ ...idp, audience: [] }] }, "/jwt/0/audience", /./],
  [
    "an unknown provider",
    { routes: [route("r", prefix("/"), { jwt: { provider: "x" } })] },
    "/routes/0/jwt/provider",
    /Unknown provider "x"/,
  ],
  [
    "an unknown cluster",
    { routes: [{ ...route("r", prefix("/")), service: undefined, cluster: "x" }].map(strip) },
    "/routes/0/cluster",
    /Unknown cluster "x"/,
  ],
  [
    "service and cluster",
    { clusters: [{ name: "c", service: "s" }], routes: [route("r", prefix("/"), { cluster: "c" })] },
    "/routes/0",
    /either service or cluster/,
  ],
  [
    "two routes of one name",
    { routes: [route("r", prefix("/a")), route("r", prefix("/b"))] },
    "/routes/1/name",
    /Another route/,
  ],
  [
    "two routes for one match",
    { routes: [route("a", prefix("/a")), route("b", prefix("/a/"))] },
    "/routes/1/match",
    /same requests as route "a"/,
  ],
  ["two providers of one name", { jwt: [idp, idp] }, "/jwt/1/name", /Another jwt provider/],
  [
    "a host with a port",
    { routes: [route("r", prefix("/", { hosts: ["a:80"] }))] },
    "/routes/0/match/hosts/0",
    /not a valid host/,
  ],
  [
    "a bare wildcard",
    { routes: [route("r", prefix("/", { hosts: ["*"] }))] },
    "/routes/0/match/hosts/0",
    /not a valid host/,
  ],
  [
    "prefix and exact",
    { routes: [route("r", { path: { prefix: "/", exact: "/" } })] },
    "/routes/0/match/path",
    /exactly one of prefix, exact/,
  ],
  [
    "a path that is not canonical",
    { routes: [route("r", prefix("/a//b"))] },
    "/routes/0/match/path/prefix",
    /Write "\/a\/b"/,
  ],
  ["a path that climbs", { routes: [route("r", prefix("/a/../b"))] }, "/routes/0/match/path/prefix", /`\.\.`/],
  [
    "a rewrite with a query",
    { routes: [route("r", prefix("/"), { rewrite: { prefix: "/x?y" } })] },
    "/routes/0/rewrite/prefix",
    /query/,
  ],
  [
    "an acl without a token",
    { routes: [route("r", prefix("/"), { acl: { allow: [{ claim: "a", contains: "b" }] } })] },
    "/routes/0/acl",
    /jwt/,
  ],
  [
    "a rule without a test",
    { jwt: [idp], routes: [route("r", prefix("/"), { jwt: { provider: "idp" }, acl: { allow: [{ claim: "a" }] } })] },
    "/routes/0/acl/allow/0",
    /contains or anyOf/,
  ],
  [
    "a limit by claim without a token",
    { routes: [route("r", prefix("/"), { rateLimit: { requests: 1, perSeconds: 1, by: { claim: "sub" } } })] },
    "/routes/0/rateLimit/by",
    /jwt/,
  ],
  [
    "a claim as Host",
    { jwt: [idp], routes: [route("r", prefix("/"), { jwt: { provider: "idp", forwardClaims: { sub: "Host" } } })] },
    "/routes/0/jwt/forwardClaims/sub",
    /cannot be forwarded/,
  ],
  ["a route called none", { routes: [route("none", prefix("/"))] }, "/routes/0/name", /metrics/],
];

function strip(value: object): object {
  return JSON.parse(JSON.stringify(value)) as object;
}

test.for(bad)("a config with %s is refused at its place", ([, tree, pointer, message]) => {
  const { problems, config } = checkGatewayConfig(tree);
  expect(config).toBeUndefined();
  expect(problems.map((problem) => problem.pointer)).toContain(pointer);
  expect(problems.find((problem) => problem.pointer === pointer)?.message).toMatch(message);
});

test("problems have the line and column of their place in the YAML", () => {
  const text = "routes:\n  - name: r\n    match: { path: { prefix: / } }\n    service: s\n    color: red\n";
  expect(parseGatewayConfig(text).problems).toEqual([
    { pointer: "/routes/0/color", message: 'Unknown field "color".', line: 5, column: 12 },
  ]);
  const [broken] = parseGatewayConfig("routes:\n  - {name: r").problems;
  expect(broken?.line).toBeGreaterThan(1);
});

test("a YAML bomb and a double key are refused", () => {
  const bomb = [
    "a: &a [x,x,x,x,x,x,x,x,x]",
    ...["b", "c", "d", "e", "f", "g"].map(
      (name, i) => `${name}: &${name} [${Array.from({ length: 9 }, () => `*${"abcdef"[i]}`).join(",")}]`,
    ),
  ].join("\n");
  expect(parseGatewayConfig(bomb).problems[0]?.message).toMatch(/aliases/);
  expect(parseGatewayConfig("routes: []\nroutes: []\n").problems[0]?.line).toBe(2);
});

test.each([
  ["", /empty/],
  [" \n\t\n", /empty/],
  ["# routes: later\n", /empty/],
  ["---\n", /empty/],
  ["null", /empty/],
  ["{}", /empty/],
  ["clusters: []\n", /no routes/],
])("the release %j is refused, since it would answer every request with 404", (value, message) => {
  const name = { namespace: "default", app: "gateway", profile: "default" };
  const problems = gatewayReleaseCheck(name, { "gateway.yaml": { format: "yaml", value } });
  expect(problems).toEqual([
    { key: "gateway.yaml", pointer: "", message: expect.stringMatching(message) as string, line: 1, column: 1 },
  ]);
  expect(problems[0]?.message).toContain('write "routes: []"');
});

test.each(["routes: []", '{"routes":[]}', "hints: [{ service: orders, within: [/orders] }]"])(
  "the release %j asks for having no routes of its own",
  (value) => {
    const name = { namespace: "default", app: "gateway", profile: "default" };
    expect(gatewayReleaseCheck(name, { "gateway.yaml": { format: "yaml", value } })).toEqual([]);
  },
);

test("the release check speaks for the gateway's app and key only", () => {
  const name = { namespace: "default", app: "gateway", profile: "default" };
  const item = (value: string, format: "yaml" | "json" | "text" = "yaml") => ({ "gateway.yaml": { format, value } });
  expect(gatewayReleaseCheck(name, item("routes: 1"))).toEqual([
    expect.objectContaining({ key: "gateway.yaml", pointer: "/routes", line: 1, column: 9 }),
  ]);
  expect(gatewayReleaseCheck(name, item("routes: []"))).toEqual([]);
  expect(gatewayReleaseCheck(name, item('{"routes":[]}', "json"))).toEqual([]);
  expect(gatewayReleaseCheck(name, item("routes: []", "text"))).toHaveLength(1);
  expect(gatewayReleaseCheck({ ...name, app: "orders" }, item("routes: 1"))).toEqual([]);
  expect(gatewayReleaseCheck(name, { other: { format: "yaml", value: "routes: 1" } })).toEqual([]);
});
