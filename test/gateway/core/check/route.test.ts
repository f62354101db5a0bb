/** Configs that a gateway must reject, each refused at its place; with line and column when the config came as a text. */
import { expect, test } from "vitest";
import { parseGatewayConfig } from "../../../../gateway/config-text.ts";

const base = { name: "r", match: { path: { prefix: "/" } }, service: "s" };
const one = (over: object) => ({ routes: [{ ...base, ...over }] });
const matching = (match: object) => one({ match });
const idp = {
  name: "idp",
  issuer: "https://i.example",
  audience: ["a"],
  algorithms: ["ES256"],
  jwks: { url: "https://i.example/j" },
};

const keyed = [{ name: "key-auth" }];

const BAD: readonly [what: string, config: object, pointer: string, message: RegExp][] = [
  ["two kinds of path", matching({ path: { prefix: "/", regex: "/" } }), "/routes/0/match/path", /exactly one of/],
  [
    "an invalid regex",
    matching({ path: { regex: "(/a" } }),
    "/routes/0/match/path/regex",
    /not valid RE2.*missing closing/,
  ],
  ["a regex that looks back", matching({ path: { regex: "(a)\\1" } }), "/routes/0/match/path/regex", /not valid RE2/],
  [
    "a regex too large to run",
    matching({ path: { regex: "((a{100}){100}){100}" } }),
    "/routes/0/match/path/regex",
    /./,
  ],
  ["a regex too long to read", matching({ path: { regex: "a".repeat(513) } }), "/routes/0/match/path/regex", /512/],
  ["a template without a variable", matching({ path: { template: "/a/b" } }), "/routes/0/match/path/template", /exact/],
  [
    "a template with half a variable",
    matching({ path: { template: "/a/x{id}" } }),
    "/routes/0/match/path/template",
    /whole/,
  ],
  [
    "a template with one name twice",
    matching({ path: { template: "/{a}/{a}" } }),
    "/routes/0/match/path/template",
    /twice/,
  ],
  ["a rest that is not last", matching({ path: { template: "/{a=**}/b" } }), "/routes/0/match/path/template", /last/],
  ["a template that climbs", matching({ path: { template: "/{a}/../b" } }), "/routes/0/match/path/template", /`\.\.`/],
  [
    "a condition of two kinds",
    matching({ headers: [{ name: "a", exact: "1", prefix: "1" }] }),
    "/routes/0/match/headers/0",
    /one of/,
  ],
  ["a condition of none", matching({ query: [{ name: "a" }] }), "/routes/0/match/query/0", /one of/],
  [
    "a header twice",
    matching({
      headers: [
        { name: "a", exact: "1" },
        { name: "A", exact: "2" },
      ],
    }),
    "/routes/0/match/headers/1/name",
    /twice/,
  ],
  [
    "a source that is not a valid network",
    matching({ sourceCidrs: ["10.0.0.0/33"] }),
    "/routes/0/match/sourceCidrs/0",
    /not a network/,
  ],
  [
    "grpc with a path",
    matching({ path: { prefix: "/" }, grpc: { service: "a.B" } }),
    "/routes/0/match/path",
    /one of the two/,
  ],
  [
    "a host twice",
    matching({ hosts: ["a.example", "*.b.example", "A.example"] }),
    "/routes/0/match/hosts/2",
    /"A.example" is listed twice/,
  ],
  ["a listener twice", one({ listeners: ["default", "default"] }), "/routes/0/listeners/1", /twice/],
  ["grpc of nothing", matching({ grpc: { type: "regex" } }), "/routes/0/match/grpc", /service or method/],
  [
    "an invalid gRPC service",
    matching({ grpc: { service: "a/B" } }),
    "/routes/0/match/grpc/service",
    /not a valid service name/,
  ],
  [
    "an invalid gRPC regex",
    matching({ grpc: { type: "regex", service: "(a", method: "B" } }),
    "/routes/0/match/grpc/service",
    /not valid RE2/,
  ],
  ["no place to go", one({ service: undefined }), "/routes/0", /either service or cluster/],
  ["time left of no time", one({ deadlineHeader: "X-Left" }), "/routes/0/deadlineHeader", /totalMs/],
  [
    "time left in a header of the gateway's own",
    one({ deadlineHeader: "X-Forwarded-For", timeouts: { totalMs: 1 } }),
    "/routes/0/deadlineHeader",
    /belongs to the gateway/,
  ],
  [
    "a quota by a claim without a token",
    one({ quota: { requests: 1, per: "day", by: { claim: "a" } } }),
    "/routes/0/quota/by",
    /jwt/,
  ],
  [
    "requests at once by consumer on a route without consumers",
    one({ concurrency: { requests: 1, by: "consumer" } }),
    "/routes/0/concurrency/by",
    /consumer/,
  ],
  ["an unknown balance", { clusters: [{ name: "c", service: "a", balance: "fair" }] }, "/clusters/0/balance", /one of/],
  [
    "a hash key that the balancing does not use",
    { clusters: [{ name: "c", service: "a", hashBy: "ip" }] },
    "/clusters/0/hashBy",
    /maglev/,
  ],
  [
    "an adaptive limit upside down",
    { clusters: [{ name: "c", service: "a", adaptive: { min: 9, max: 2 } }] },
    "/clusters/0/adaptive",
    /above max/,
  ],
  ["two places to go", one({ redirect: { scheme: "https" } }), "/routes/0", /one of service/],
  [
    "a split into an unknown cluster",
    one({ service: undefined, split: [{ cluster: "x" }] }),
    "/routes/0/split/0/cluster",
    /Unknown cluster/,
  ],
  ["a mirror to two places", one({ mirror: [{ service: "a", cluster: "c" }] }), "/routes/0/mirror/0", /either service/],
  ["a mirror to nowhere", one({ mirror: [{ percent: 5 }] }), "/routes/0/mirror/0", /either service or cluster/],
  [
    "a part of a split to two places",
    one({ service: undefined, split: [{ service: "a", cluster: "c" }, { service: "b" }] }),
    "/routes/0/split/0",
    /either service or cluster/,
  ],
  [
    "a split without a rest",
    one({ service: undefined, split: [{ service: "a", weight: 0 }] }),
    "/routes/0/split",
    /weight/,
  ],
  [
    "a redirect with a cache",
    one({ service: undefined, redirect: { port: 1 }, cache: {} }),
    "/routes/0/cache",
    /itself/,
  ],
  ["a redirect to itself", one({ service: undefined, redirect: { status: 302 } }), "/routes/0/redirect", /same URL/],
  [
    "a redirect with another status",
    one({ service: undefined, redirect: { port: 1, status: 304 } }),
    "/routes/0/redirect/status",
    /one of/,
  ],
  [
    "a prefix rewrite of a template",
    one({ match: { path: { template: "/{a}" } }, rewrite: { prefix: "/x" } }),
    "/routes/0/rewrite/prefix",
    /whole path/,
  ],
  [
    "an unknown path variable",
    one({ match: { path: { template: "/{a}" } }, rewrite: { template: "/{b}" } }),
    "/routes/0/rewrite/template",
    /no variable "b"; it has a/,
  ],
  ["two rewrites", one({ rewrite: { prefix: "/a", template: "/b" } }), "/routes/0/rewrite", /one/],
  [
    "a group that the pattern does not have",
    one({ rewrite: { regex: { pattern: "/(a)(?:b)", replacement: "/\\1/\\2" } } }),
    "/routes/0/rewrite/regex/replacement",
    /\\2 does not exist: the pattern has one group, \\1/,
  ],
  [
    "a rewrite by an invalid regex",
    one({ rewrite: { regex: { pattern: "/(a", replacement: "/\\1" } } }),
    "/routes/0/rewrite/regex/pattern",
    /not valid RE2/,
  ],
  [
    "Host as a header",
    one({ requestHeaders: { set: { Host: "x" } } }),
    "/routes/0/requestHeaders/set/Host",
    /belongs to the gateway/,
  ],
  [
    "a consumer's header",
    one({ requestHeaders: { add: { "X-Consumer-Name": "root" } } }),
    "/routes/0/requestHeaders/add/X-Consumer-Name",
    /belongs to the gateway/,
  ],
  [
    "a forwarded header",
    one({ requestHeaders: { remove: ["X-Forwarded-For"] } }),
    "/routes/0/requestHeaders/remove/0",
    /belongs to the gateway/,
  ],
  [
    "the header of a claim",
    {
      jwt: [idp],
      routes: [
        {
          ...base,
          jwt: { provider: "idp", forwardClaims: { sub: "x-user" } },
          requestHeaders: { set: { "X-User": "root" } },
        },
      ],
    },
    "/routes/0/requestHeaders/set/X-User",
    /belongs to the gateway/,
  ],
  [
    "a length of an answer",
    one({ responseHeaders: { set: { "content-length": "1" } } }),
    "/routes/0/responseHeaders/set/content-length",
    /belongs to the gateway/,
  ],
  [
    "a header with a line break",
    one({ requestHeaders: { set: { a: "x\r\ny: z" } } }),
    "/routes/0/requestHeaders/set/a",
    /printable/,
  ],
  [
    "an unknown variable",
    one({ requestHeaders: { set: { a: "{nobody}" } } }),
    "/routes/0/requestHeaders/set/a",
    /Available: client\.address/,
  ],
  [
    "half a variable",
    one({ requestHeaders: { set: { a: "{client.address" } } }),
    "/routes/0/requestHeaders/set/a",
    /Unmatched/,
  ],
  [
    "a copied secret",
    one({ requestHeaders: { set: { a: "{request.header.Authorization}" } } }),
    "/routes/0/requestHeaders/set/a",
    /secret/,
  ],
  [
    "an origin with a path",
    one({ cors: { origins: ["https://a.example/"] } }),
    "/routes/0/cors/origins/0",
    /not a valid origin/,
  ],
  ["an origin null", one({ cors: { origins: ["null"] } }), "/routes/0/cors/origins/0", /not a valid origin/],
  [
    "credentials for all",
    one({ cors: { origins: ["*"], credentials: true } }),
    "/routes/0/cors/credentials",
    /List the origins/,
  ],
  [
    "all headers exposed with credentials",
    one({ cors: { origins: ["https://a.example"], credentials: true, exposeHeaders: ["*"] } }),
    "/routes/0/cors/exposeHeaders",
    /List the headers/,
  ],
  [
    "a key in the clear",
    { consumers: [{ name: "a", keys: [{ sha256: "hunter2" }] }] },
    "/consumers/0/keys/0/sha256",
    /match/,
  ],
  [
    "one key for two",
    { consumers: ["a", "b"].map((name) => ({ name, keys: [{ sha256: "0".repeat(64) }] })) },
    "/consumers/1/keys/0",
    /"a" has the same/,
  ],
  [
    "a consumer of an unknown issuer",
    { consumers: [{ name: "a", jwt: [{ provider: "x", value: "y" }] }] },
    "/consumers/0/jwt/0/provider",
    /Unknown provider/,
  ],
  [
    "a limit by consumer on a route without consumers",
    one({ rateLimit: { requests: 1, perSeconds: 1, by: "consumer" } }),
    "/routes/0/rateLimit/by",
    /does not identify consumers/,
  ],
  [
    "a filter's config",
    one({ filters: [{ name: "ip-restriction", config: { allow: "10.0.0.0/8" } }] }),
    "/routes/0/filters/0/config/allow",
    /array/,
  ],
  [
    "a filter's unknown field",
    one({ filters: [{ name: "key-auth", config: { headr: "x" } }] }),
    "/routes/0/filters/0/config/headr",
    /Unknown/,
  ],
  [
    "a network in a filter",
    one({ filters: [{ name: "ip-restriction", config: { deny: ["10.0.0.0/99"] } }] }),
    "/routes/0/filters/0/config",
    /not a network/,
  ],
  [
    "a part of a split without a condition",
    one({ service: undefined, split: [{ service: "a", when: {} }, { service: "b" }] }),
    "/routes/0/split/0/when",
    /1/,
  ],
  [
    "a part of a split for an unknown consumer",
    one({
      service: undefined,
      filters: keyed,
      split: [{ service: "a", when: { consumers: ["ghost"] } }, { service: "b" }],
    }),
    "/routes/0/split/0/when/consumers/0",
    /Unknown consumer "ghost"/,
  ],
  [
    "a part of a split for consumers on a route that does not identify consumers",
    {
      consumers: [{ name: "shop" }],
      ...one({ service: undefined, split: [{ service: "a", when: { consumers: ["shop"] } }, { service: "b" }] }),
    },
    "/routes/0/split/0/when/consumers",
    /does not identify consumers/,
  ],
  [
    "a part of a split for groups on a route that does not identify consumers",
    one({ service: undefined, split: [{ service: "a", when: { groups: ["gold"] } }, { service: "b" }] }),
    "/routes/0/split/0/when/groups",
    /Add jwt or key-auth/,
  ],
  [
    "a split by consumer on a route that does not identify consumers",
    one({ service: undefined, split: [{ service: "a" }], splitBy: { by: "consumer" } }),
    "/routes/0/splitBy/by",
    /Add jwt or key-auth/,
  ],
  [
    "an access list of an unknown consumer",
    one({ filters: [...keyed, { name: "consumer-acl", config: { deny: { consumers: ["ghost"] } } }] }),
    "/routes/0/filters/1/config/deny/consumers/0",
    /Unknown consumer "ghost"/,
  ],
  [
    "an access list on a route that does not identify consumers",
    one({ filters: [{ name: "consumer-acl", config: { allow: { groups: ["gold"] } } }] }),
    "/routes/0/filters/0/config",
    /does not identify consumers/,
  ],
  [
    "an invalid schema",
    one({ filters: [{ name: "request-validation", config: { body: { type: "strin" } } }] }),
    "/routes/0/filters/0/config",
    /body:/,
  ],
  [
    "a schema with a look-ahead",
    one({ filters: [{ name: "request-validation", config: { body: { pattern: "(?=a)\\1" } } }] }),
    "/routes/0/filters/0/config",
    /./,
  ],
  ["a trust in everybody", { trustedProxies: ["0.0.0.0/0"] }, "/trustedProxies/0", /trusts every client/],
  [
    "two listeners on a port",
    {
      listeners: [
        { name: "a", port: 1 },
        { name: "b", port: 1 },
      ],
    },
    "/listeners/1/port",
    /"a" already uses this/,
  ],
  [
    "two listeners on a port for the same host",
    {
      listeners: [
        { name: "a", port: 1, hosts: ["b.example", "*.A.example"] },
        { name: "b", port: 1, hosts: ["a.example", "*.a.example"] },
      ],
    },
    "/listeners/1/hosts/1",
    /"a" already has the host/,
  ],
  [
    "two listeners on a port, of which one is in the clear",
    {
      listeners: [
        { name: "a", port: 1, tls: true, hosts: ["a.example"] },
        { name: "b", port: 1, hosts: ["b.example"] },
      ],
    },
    "/listeners/1/port",
    /with tls\. Listeners of one port must agree/,
  ],
  [
    "two listeners on a port that ask clients for unlike certificates",
    {
      listeners: [
        { name: "a", port: 1, tls: true, hosts: ["a.example"], clientCertificates: { caFile: "/a" } },
        { name: "b", port: 1, tls: true, hosts: ["b.example"] },
      ],
    },
    "/listeners/1/clientCertificates",
    /other clientCertificates/,
  ],
  [
    "certificates in the clear",
    { listeners: [{ name: "a", port: 1, certificates: [{ certFile: "/a", keyFile: "/b" }] }] },
    "/listeners/0/certificates",
    /need TLS/,
  ],
  [
    "a certificate without a key",
    { listeners: [{ name: "a", port: 1, tls: true, certificates: [{ certFile: "/a" }] }] },
    "/listeners/0/certificates/0",
    /key or keyFile/,
  ],
  ["a cluster from nowhere", { clusters: [{ name: "c" }] }, "/clusters/0", /either service or endpoints/],
  [
    "a cluster at a cloud's metadata",
    { clusters: [{ name: "c", endpoints: [{ address: "169.254.169.254", port: 80 }] }] },
    "/clusters/0/endpoints/0/address",
    /link-local/,
  ],
  ...[{ cert: "c", certFile: "f", key: "k" }, { cert: "c", key: "k", keyFile: "f" }, { cert: "c" }, { key: "k" }].map(
    (pair): (typeof BAD)[number] => [
      `a certificate of ${Object.keys(pair).join(", ")}`,
      { listeners: [{ name: "l", port: 8443, tls: true, certificates: [pair] }] },
      "/listeners/0/certificates/0",
      /either cert or certFile, and key or keyFile/,
    ],
  ),
  [
    "certificates in the clear",
    { listeners: [{ name: "l", port: 8443, certificates: [{ cert: "c", keyFile: "f" }] }] },
    "/listeners/0/certificates",
    /Add tls: true/,
  ],
  [
    "client certificates in the clear",
    { listeners: [{ name: "l", port: 8443, clientCertificates: { ca: "c" } }] },
    "/listeners/0/clientCertificates",
    /Add tls: true/,
  ],
  [
    "one port with tls and without",
    {
      listeners: [
        { name: "l", port: 8443, tls: true, hosts: ["a.example"] },
        { name: "m", port: 8443, hosts: ["b.example"] },
      ],
    },
    "/listeners/1/port",
    /Listeners of one port must agree/,
  ],
  [
    "one port twice for every host",
    {
      listeners: [
        { name: "l", port: 81 },
        { name: "m", port: 81 },
      ],
    },
    "/listeners/1/port",
    /every host/,
  ],
  [
    "one port twice for one host",
    {
      listeners: [
        { name: "l", port: 81, hosts: ["A.example"] },
        { name: "m", port: 81, hosts: ["b.example", "a.example"] },
      ],
    },
    "/listeners/1/hosts/1",
    /already has the host/,
  ],
  ["a hint outside of paths", { hints: [{ service: "a", within: ["/a/../b"] }] }, "/hints/0/within/0", /`\.\.`/],
];

test.for(BAD.map(([what, config, pointer, message]) => ({ what, config, pointer, message })))(
  "$what is refused at $pointer",
  ({ config, pointer, message }) => {
    const text = JSON.stringify(config, null, 2);
    const { problems, config: taken } = parseGatewayConfig(text);
    expect(taken).toBeUndefined();
    const problem = problems.find((one) => one.pointer === pointer);
    expect(problems.map((one) => one.pointer)).toContain(pointer);
    expect(problem?.message).toMatch(message);
    // On the line of the innermost thing that there is.
    expect(problem?.line).toBeGreaterThanOrEqual(1);
    expect(problem?.column).toBeGreaterThanOrEqual(1);
  },
);

test("two listeners in the clear share a port by their hosts, and one of them may have all others", () => {
  const listeners = [
    { name: "l", port: 81, hosts: ["a.example"] },
    { name: "m", port: 81, tls: false, hosts: ["b.example"] },
    { name: "n", port: 81 },
  ];
  expect(parseGatewayConfig(JSON.stringify({ listeners })).problems).toEqual([]);
});

test("a part of a split weighs 1 by default, and one part of weight 1 beside parts of weight 0 is accepted", () => {
  for (const part of [{ service: "a" }, { service: "a", weight: 1 }]) {
    const config = one({ service: undefined, split: [part, { service: "b", weight: 0 }] });
    expect(parseGatewayConfig(JSON.stringify(config)).problems).toEqual([]);
  }
});

test("the line is that of the value", () => {
  const text =
    "routes:\n  - name: r\n    match: { path: { regex: '(/a' } }\n    service: s\n    cors:\n      origins: [null]\n";
  expect(parseGatewayConfig(text).problems[0]).toMatchObject({
    pointer: "/routes/0/cors/origins/0",
    line: 6,
    column: 17,
  });
});
