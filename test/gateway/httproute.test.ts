/**
 * The Gateway API's HTTPRoute, core and extended features as its conformance names them (pkg/features/httproute.go),
 * GRPCRoute's match, and Gateway's features that concern routes: each by a real request, in short. The forwarding, and
 * what goes wrong on the way, is tested in depth beside: streams, http2-upstream, websocket, grpc, resilience, sources.
 * Features that are not supported are listed in the guide.
 */
import { createHash } from "node:crypto";
import { createServer as createHttp2Server } from "node:http2";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { eventually, freePort } from "#test/kit";
import { authority } from "./certificates.ts";
import { ask as askAt, world, type Seen, type World } from "./echo.ts";
import { instance } from "./kit.ts";
import { askTls } from "./tls-kit.ts";

const to = (service: string, match: object, over: object = {}) => ({ name: service, match, service, ...over });
const all = { path: { prefix: "/" } };
const one = (over: object) => ({ routes: [{ name: "r", match: all, service: "orders", ...over }] });

/** Two that are free. */
type Ports = readonly [number, number];
/** `config`: of ports that listeners may have. */
type Feature = readonly [
  feature: string,
  config: object | ((ports: Ports) => object),
  check: (world: World, ports: Ports) => Promise<void>,
];

/** Asks on a listener's port once it is open. */
async function onceOpen(port: number, path: string, host = "a.example") {
  return eventually("the listener is open", () => askAt(port, path, { host }).catch(() => undefined));
}

const FEATURES: readonly Feature[] = [
  [
    "path match: exact before prefix, whole segments",
    { routes: [to("orders", { path: { exact: "/a" } }), to("canary", { path: { prefix: "/a" } })] },
    async ({ ask }) => {
      expect((await ask("/a")).seen.service).toBe("orders");
      expect((await ask("/a/b")).seen.service).toBe("canary");
      expect((await ask("/ab")).status).toBe(404);
    },
  ],
  [
    "HTTPRouteMethodMatching",
    { routes: [to("orders", { ...all, methods: ["GET"] }), to("canary", { ...all, methods: ["POST", "PUT"] })] },
    async ({ ask }) => {
      expect((await ask("/")).seen.service).toBe("orders");
      expect((await ask("/", { method: "PUT", body: "x" })).seen).toMatchObject({ service: "canary", body: "x" });
      const refused = await ask("/", { method: "DELETE" });
      expect([refused.status, refused.headers.allow]).toEqual([405, "GET, POST, PUT"]);
    },
  ],
  [
    "method match: WebDAV's and others where a route names them, with their bodies; never TRACE",
    {
      routes: [
        to("orders", { path: { prefix: "/dav" }, methods: ["PROPFIND", "MKCOL", "M-SEARCH", "GET"] }),
        to("canary", { path: { prefix: "/plain" } }),
      ],
    },
    async ({ ask, services, running }) => {
      expect((await ask("/dav/x", { method: "PROPFIND", body: "<propfind/>" })).seen).toMatchObject({
        service: "orders",
        method: "PROPFIND",
        body: "<propfind/>",
      });
      expect((await ask("/dav/x", { method: "M-SEARCH" })).seen.method).toBe("M-SEARCH");
      for (const [method, path, allow] of [
        ["LOCK", "/dav", "PROPFIND, MKCOL, M-SEARCH, GET"],
        ["PROPFIND", "/plain", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"],
        ["TRACE", "/dav", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"],
      ] as const) {
        const refused = await ask(path, { method });
        expect([method, refused.status, refused.headers.allow]).toEqual([method, 405, allow]);
      }
      expect(services.canary.requests).toHaveLength(0);
      const { text } = await running.host.metrics.expose();
      expect(text).toContain('posthouse_gateway_requests_total{route="orders",method="_OTHER",status="200"} 2');
      expect(text).not.toMatch(/method="(PROPFIND|M-SEARCH|LOCK|TRACE)"/);
    },
  ],
  [
    "header match: exact, regex, prefix, present, absent; more of them first",
    {
      routes: [
        to("orders", { ...all, headers: [{ name: "X-Version", exact: "2" }] }),
        to("canary", {
          ...all,
          headers: [
            { name: "x-version", regex: "[2-9]" },
            { name: "x-beta", present: true },
          ],
        }),
        to("shadow", {
          ...all,
          headers: [
            { name: "x-version", prefix: "old-" },
            { name: "x-beta", present: false },
          ],
        }),
      ],
    },
    async ({ ask }) => {
      const service = async (headers: Record<string, string | string[]>) => {
        const answer = await ask("/", { headers });
        return answer.status === 404 ? "none" : answer.seen.service;
      };
      expect(await service({ "x-version": "2" })).toBe("orders");
      expect(await service({ "x-version": "2", "x-beta": "" })).toBe("canary");
      expect(await service({ "x-version": "12", "x-beta": "" })).toBe("none");
      expect(await service({ "x-version": "old-1" })).toBe("shadow");
      expect(await service({ "x-version": "old-1", "x-beta": "1" })).toBe("none");
      expect(await service({})).toBe("none");
    },
  ],
  [
    "HTTPRouteQueryParamMatching",
    {
      routes: [
        to("orders", { ...all, query: [{ name: "animal", exact: "whale" }] }),
        to("canary", {
          ...all,
          query: [
            { name: "animal", regex: "dol.*" },
            { name: "color", present: true },
          ],
        }),
      ],
    },
    async ({ ask }) => {
      expect((await ask("/?animal=whale&animal=dolphin")).seen.service).toBe("orders");
      expect((await ask("/?color=&animal=dolphin")).seen.service).toBe("canary");
      expect((await ask("/?animal=dolphin")).status).toBe(404);
      expect((await ask("/?animal=wh%61le")).seen.url).toBe("/?animal=wh%61le");
    },
  ],
  [
    "cookie match",
    { routes: [to("canary", { ...all, cookies: [{ name: "beta", exact: "1" }] }), to("orders", all)] },
    async ({ ask }) => {
      expect((await ask("/", { headers: { cookie: "a=b; beta=1" } })).seen.service).toBe("canary");
      expect((await ask("/", { headers: { cookie: "xbeta=1; beta=10" } })).seen.service).toBe("orders");
    },
  ],
  [
    "path match: template, regex, and what comes first",
    {
      routes: [
        to("orders", { path: { template: "/users/{id}" } }, { requestHeaders: { set: { "x-id": "{path.id}" } } }),
        to(
          "canary",
          { path: { regex: "/users/(?P<n>[0-9]+)/x" } },
          { requestHeaders: { set: { "x-id": "{path.n}" } } },
        ),
        to("shadow", { path: { prefix: "/users" } }),
      ],
    },
    async ({ ask }) => {
      expect((await ask("/users/7")).seen).toMatchObject({ service: "orders", headers: { "x-id": "7" } });
      expect((await ask("/users/a%20b")).seen.headers["x-id"]).toBe("a%20b");
      expect((await ask("/users/42/x")).seen).toMatchObject({ service: "canary", headers: { "x-id": "42" } });
      expect((await ask("/users/42/x/")).seen.service).toBe("shadow");
      expect((await ask("/users/")).seen.service).toBe("shadow");
    },
  ],
  [
    "source networks, behind a trusted proxy",
    {
      trustedProxies: ["127.0.0.1"],
      routes: [to("canary", { ...all, sourceCidrs: ["10.0.0.0/8", "2001:db8::/32"] }), to("orders", all)],
    },
    async ({ ask }) => {
      const from = async (address: string) => (await ask("/", { headers: { "x-forwarded-for": address } })).seen;
      expect(await from("10.1.2.3")).toMatchObject({
        service: "canary",
        headers: { "x-forwarded-for": "10.1.2.3, 127.0.0.1" },
      });
      expect((await from("2001:db8::7")).service).toBe("canary");
      expect((await from("10.1.2.3, 192.0.2.9")).service).toBe("orders");
      expect((await from("10.1.2.3, nonsense")).service).toBe("orders");
    },
  ],
  [
    "scheme match, so that a redirect to https does not lead in a ring",
    {
      trustedProxies: ["127.0.0.1"],
      routes: [
        { name: "secure", match: { ...all, scheme: "http" }, redirect: { scheme: "https", status: 301 } },
        to("orders", all),
      ],
    },
    async ({ ask }) => {
      const plain = await ask("/x", { host: "a.example:8080" });
      expect([plain.status, plain.headers.location]).toEqual([301, "https://a.example/x"]);
      const secure = await ask("/x", { headers: { "x-forwarded-proto": "https", "x-forwarded-for": "192.0.2.1" } });
      expect(secure.seen).toMatchObject({ service: "orders", headers: { "x-forwarded-proto": "https" } });
    },
  ],
  [
    "HTTPRouteHostRewrite",
    one({ rewrite: { host: "inside.example" } }),
    async ({ ask }) => expect((await ask("/x")).seen.headers["host"]).toBe("inside.example"),
  ],
  [
    "HTTPRoutePathRewrite: prefix, template, regex",
    {
      routes: [
        to("orders", { path: { prefix: "/p" } }, { rewrite: { prefix: "/q" } }),
        to("canary", { path: { template: "/t/{a}/{b}" } }, { rewrite: { template: "/{b}/x/{a}" } }),
        to(
          "shadow",
          { path: { prefix: "/r" } },
          { rewrite: { regex: { pattern: "/r/([a-z]+)/", replacement: "/\\1/v2/" } } },
        ),
      ],
    },
    async ({ ask }) => {
      expect((await ask("/p/1?x=/p")).seen.url).toBe("/q/1?x=/p");
      expect((await ask("/t/1/2?y")).seen.url).toBe("/2/x/1?y");
      expect((await ask("/r/abc/d")).seen.url).toBe("/abc/v2/d");
    },
  ],
  [
    "HTTPRoutePathRedirect, PortRedirect, SchemeRedirect, 303, 307, 308",
    {
      routes: [
        { name: "prefix", match: { path: { prefix: "/old" } }, redirect: { prefix: "/new", status: 308 } },
        { name: "path", match: { path: { template: "/u/{id}" } }, redirect: { path: "/users/{id}", status: 303 } },
        { name: "port", match: { path: { exact: "/port" } }, redirect: { port: 8443, status: 307 } },
        {
          name: "scheme",
          match: { path: { exact: "/scheme" } },
          redirect: { scheme: "https", host: "b.example", status: 301 },
        },
      ],
    },
    async ({ ask, services }) => {
      const place = async (path: string) => {
        const { status, headers } = await ask(path, { host: "a.example:8080" });
        return [status, headers.location];
      };
      expect(await place("/old/x?q=1")).toEqual([308, "http://a.example:8080/new/x?q=1"]);
      expect(await place("/u/7")).toEqual([303, "http://a.example:8080/users/7"]);
      expect(await place("/port")).toEqual([307, "http://a.example:8443/port"]);
      expect(await place("/scheme")).toEqual([301, "https://b.example/scheme"]);
      expect(services.orders.requests).toHaveLength(0);
    },
  ],
  [
    "request header modification",
    one({
      requestHeaders: {
        set: { "x-a": "1", "x-real-ip": "{client.address}" },
        add: { "x-b": "{client.address} {request.method}" },
        remove: ["x-c"],
      },
    }),
    async ({ ask }) => {
      const { headers } = (
        await ask("/", { headers: { "X-A": "0", "x-b": "mine", "x-c": "gone", "x-real-ip": "10.0.0.1" } })
      ).seen;
      expect(headers).toMatchObject({ "x-a": "1", "x-b": "mine, 127.0.0.1 GET", "x-real-ip": "127.0.0.1" });
      expect(headers["x-c"]).toBeUndefined();
    },
  ],
  [
    "HTTPRouteResponseHeaderModification",
    one({ responseHeaders: { set: { "x-a": "{route.name}" }, add: { "x-b": "2" }, remove: ["content-type"] } }),
    async ({ ask }) => {
      const { headers } = await ask("/");
      expect(headers).toMatchObject({ "x-a": "r", "x-b": "2" });
      expect(headers["content-type"]).toBeUndefined();
    },
  ],
  [
    "HTTPRouteBackendRequestHeaderModification, traffic split by weight",
    {
      routes: [
        {
          name: "r",
          match: all,
          split: [
            { service: "orders", weight: 3, requestHeaders: { set: { "x-part": "stable" } } },
            { service: "canary", weight: 1, requestHeaders: { set: { "x-part": "canary" } } },
            { service: "shadow", weight: 0 },
          ],
        },
      ],
    },
    async ({ ask, services }) => {
      for (let i = 0; i < 200; i++) {
        const { service, headers } = (await ask("/")).seen;
        expect(headers["x-part"]).toBe(service === "orders" ? "stable" : "canary");
      }
      expect(services.canary.requests.length).toBeGreaterThan(20);
      expect(services.canary.requests.length).toBeLessThan(90);
      expect(services.shadow.requests).toHaveLength(0);
    },
  ],
  [
    "traffic split by header, by cookie, and the same caller always alike",
    {
      routes: [
        {
          name: "r",
          match: all,
          splitBy: { header: "x-user" },
          split: [
            { service: "shadow", when: { header: { name: "x-try", exact: "yes" } } },
            { service: "canary", when: { cookie: { name: "beta", exact: "1" } } },
            { service: "orders" },
            { service: "canary" },
          ],
        },
      ],
    },
    async ({ ask }) => {
      expect((await ask("/", { headers: { "x-try": "yes" } })).seen.service).toBe("shadow");
      expect((await ask("/", { headers: { cookie: "beta=1" } })).seen.service).toBe("canary");
      const chosen = new Set<string>();
      for (let user = 0; user < 20; user++) {
        const twice = [
          await ask("/", { headers: { "x-user": `u${user}` } }),
          await ask("/", { headers: { "x-user": `u${user}` } }),
        ];
        expect(twice[0]?.seen.service).toBe(twice[1]?.seen.service);
        chosen.add(twice[0]?.seen.service ?? "");
      }
      expect(chosen).toEqual(new Set(["orders", "canary"]));
    },
  ],
  [
    "HTTPRouteBackendResponseHeaderModification, traffic split for a consumer and a group",
    {
      consumers: ["acme", "umbrella"].map((name) => ({
        name,
        groups: name === "umbrella" ? ["beta"] : [],
        keys: [{ sha256: createHash("sha256").update(name).digest("hex") }],
      })),
      routes: [
        {
          name: "r",
          match: all,
          filters: [{ name: "key-auth" }],
          responseHeaders: { set: { "x-route": "r" } },
          split: [
            { service: "shadow", when: { consumers: ["acme"] }, responseHeaders: { set: { "x-part": "acme" } } },
            { service: "canary", when: { groups: ["beta"] }, responseHeaders: { remove: ["content-type"] } },
            { service: "orders" },
          ],
        },
      ],
    },
    async ({ ask }) => {
      const acme = await ask("/", { headers: { "x-api-key": "acme" } });
      expect([acme.seen.service, acme.headers["x-part"], acme.headers["x-route"]]).toEqual(["shadow", "acme", "r"]);
      const umbrella = await ask("/", { headers: { "x-api-key": "umbrella" } });
      expect([umbrella.seen.service, umbrella.headers["x-part"], umbrella.headers["content-type"]]).toEqual([
        "canary",
        undefined,
        undefined,
      ]);
    },
  ],
  [
    "traffic split that is alike for the same cookie, consumer or address",
    {
      trustedProxies: ["127.0.0.1"],
      consumers: Array.from({ length: 20 }, (_, index) => ({
        name: `c${index}`,
        keys: [{ sha256: createHash("sha256").update(`c${index}`).digest("hex") }],
      })),
      routes: ([{ cookie: "user" }, { by: "consumer" }, { by: "ip" }] as const).map((splitBy, index) => ({
        name: `r${index}`,
        match: { path: { prefix: `/${index}` } },
        ...("by" in splitBy && splitBy.by === "consumer" ? { filters: [{ name: "key-auth" }] } : {}),
        splitBy,
        split: [{ service: "orders" }, { service: "canary" }],
      })),
    },
    async ({ ask }) => {
      const headersOf = [
        (user: number) => ({ cookie: `a=b; user=u${user}` }),
        (user: number) => ({ "x-api-key": `c${user}` }),
        (user: number) => ({ "x-forwarded-for": `10.0.0.${user}` }),
      ];
      for (const [index, headers] of headersOf.entries()) {
        const chosen = new Set<string>();
        for (let user = 0; user < 20; user++) {
          const first = (await ask(`/${index}`, { headers: headers(user) })).seen.service;
          const again = (await ask(`/${index}/x`, { headers: headers(user) })).seen.service;
          expect([index, user, again]).toEqual([index, user, first]);
          chosen.add(first);
        }
        expect([index, chosen]).toEqual([index, new Set(["orders", "canary"])]);
      }
    },
  ],
  [
    "HTTPRouteRequestMirror, RequestMultipleMirrors, with a body",
    one({ mirror: [{ service: "shadow" }, { service: "canary" }] }),
    async ({ ask, services }) => {
      expect((await ask("/m?x", { method: "POST", body: "hello" })).seen).toMatchObject({
        service: "orders",
        body: "hello",
      });
      expect((await ask("/m")).seen.service).toBe("orders");
      await eventually(
        "the copies arrive",
        () => services.shadow.requests.length === 2 && services.canary.requests.length === 2,
      );
      const posted = services.shadow.requests.find(({ method }) => method === "POST");
      expect(posted).toMatchObject({ url: "/m?x", body: "hello", headers: { "x-posthouse-mirror": "1" } });
      expect(services.orders.requests[0]?.headers["x-posthouse-mirror"]).toBeUndefined();
    },
  ],
  [
    "HTTPRouteRequestPercentageMirror",
    one({
      mirror: [
        { service: "shadow", percent: 0 },
        { service: "canary", percent: 50 },
      ],
    }),
    async ({ ask, services }) => {
      for (let i = 0; i < 60; i++) await ask("/");
      await eventually("the copies arrive", () => services.canary.requests.length > 10);
      expect(services.canary.requests.length).toBeLessThan(50);
      expect(services.shadow.requests).toHaveLength(0);
    },
  ],
  [
    "HTTPRouteRequestTimeout and BackendTimeout",
    {
      routes: [
        to("orders", { path: { prefix: "/total" } }, { timeouts: { totalMs: 80 } }),
        to("canary", { path: { prefix: "/try" } }, { timeouts: { perTryMs: 80 }, retry: { attempts: 0 } }),
      ],
    },
    async ({ ask }) => {
      for (const path of ["/total/slow", "/try/slow"]) {
        const late = await ask(path);
        expect([late.status, late.headers["x-posthouse-flag"]]).toEqual([504, "UT"]);
      }
      expect((await ask("/try/quick")).status).toBe(200);
    },
  ],
  [
    "HTTPRouteCORS: all headers, literally without credentials, by name with them",
    {
      routes: [
        to(
          "orders",
          { path: { prefix: "/open" } },
          { cors: { origins: ["*"], headers: ["*", "authorization"], exposeHeaders: ["*"] } },
        ),
        to(
          "canary",
          { path: { prefix: "/own" } },
          { cors: { origins: ["https://app.example"], headers: ["*"], credentials: true } },
        ),
      ],
    },
    async ({ ask }) => {
      const allowed = async (path: string, asked?: string | string[]) => {
        const { status, headers } = await ask(path, {
          method: "OPTIONS",
          headers: {
            origin: "https://app.example",
            "access-control-request-method": "GET",
            ...(asked === undefined ? {} : { "access-control-request-headers": asked }),
          },
        });
        expect([status, headers.vary]).toEqual([204, expect.stringContaining("Access-Control-Request-Headers")]);
        return headers["access-control-allow-headers"];
      };
      expect(await allowed("/open", "x-a")).toBe("*, authorization");
      expect(await allowed("/own", "x-a,authorization")).toBe("x-a, authorization");
      expect(await allowed("/own")).toBeUndefined();
      for (const bad of ["*", "x-a,", "x a", 'x"', Array.from({ length: 65 }, (_, index) => `x-${index}`).join(",")]) {
        expect([bad, await allowed("/own", bad)]).toEqual([bad, undefined]);
      }
      const { headers } = await ask("/open", { headers: { origin: "https://app.example" } });
      expect(headers).toMatchObject({ "access-control-allow-origin": "*", "access-control-expose-headers": "*" });
    },
  ],
  [
    "HTTPRouteCORS",
    one({
      cors: {
        origins: ["https://app.example", "https://*.b.example"],
        credentials: true,
        headers: ["x-mine"],
        exposeHeaders: ["x-of"],
      },
      match: { ...all, methods: ["POST"] },
    }),
    async ({ ask, services }) => {
      const preflight = (origin: string) =>
        ask("/", { method: "OPTIONS", headers: { origin, "access-control-request-method": "POST" } });
      const good = await preflight("https://app.example");
      expect(good.status).toBe(204);
      expect(good.headers).toMatchObject({
        "access-control-allow-origin": "https://app.example",
        "access-control-allow-credentials": "true",
        "access-control-allow-headers": "x-mine",
        "access-control-max-age": "600",
      });
      expect((await preflight("https://x.b.example")).headers["access-control-allow-origin"]).toBe(
        "https://x.b.example",
      );
      for (const origin of [
        "https://app.example.evil",
        "http://app.example",
        "https://evilb.example",
        "null",
        "https://a@x.b.example",
      ]) {
        const { headers } = await preflight(origin);
        expect([origin, headers["access-control-allow-origin"]]).toEqual([origin, undefined]);
        expect(headers.vary).toContain("Origin");
      }
      expect(services.orders.requests).toHaveLength(0);
      const posted = await ask("/own-cors", { method: "POST", headers: { origin: "https://app.example" } });
      expect(posted.headers).toMatchObject({
        "access-control-allow-origin": "https://app.example",
        "access-control-expose-headers": "x-of",
        vary: "Origin",
      });
      const foreign = await ask("/own-cors", { method: "POST", headers: { origin: "https://evil.example" } });
      expect(foreign.headers["access-control-allow-origin"]).toBeUndefined();
    },
  ],
  [
    "HTTPRouteNamedRouteRule: logs, metrics and problems call a route by its name",
    one({ respond: { status: 418, body: "tea\n" }, service: undefined }),
    async ({ ask, running }) => {
      expect(await ask("/")).toMatchObject({
        status: 418,
        text: "tea\n",
        headers: { "content-type": "text/plain; charset=utf-8" },
      });
      await eventually("it is counted", async () =>
        (await running.host.metrics.expose()).text.includes(
          'posthouse_gateway_requests_total{route="r",method="GET",status="418"} 1',
        ),
      );
    },
  ],
  [
    "host match: exact, then the longer wildcard, then any",
    {
      routes: [
        to("orders", { ...all, hosts: ["a.example"] }),
        to("canary", { ...all, hosts: ["*.example"] }),
        to("shadow", all),
      ],
    },
    async ({ ask }) => {
      expect((await ask("/", { host: "A.example:80" })).seen.service).toBe("orders");
      expect((await ask("/", { host: "b.example" })).seen.service).toBe("canary");
      expect((await ask("/", { host: "other" })).seen.service).toBe("shadow");
    },
  ],
  [
    "GRPCRoute: service and method",
    {
      routes: [
        to("orders", { grpc: { service: "shop.v1.Orders", method: "Get" } }),
        to("canary", { grpc: { service: "shop.v1.Orders" } }),
      ],
    },
    async ({ ask }) => {
      const call = (path: string, type = "application/grpc+proto") =>
        ask(path, { method: "POST", headers: { "content-type": type }, body: "x" });
      expect((await call("/shop.v1.Orders/Get")).seen.service).toBe("orders");
      expect((await call("/shop.v1.Orders/List")).seen.service).toBe("canary");
      // gRPC says so in its own words, behind a 200.
      expect((await call("/shop.v1.OrdersX/Get")).headers["grpc-status"]).toBe("12");
      for (const type of ["application/json", "application/grpcx"]) {
        expect([type, (await call("/shop.v1.Orders/Get", type)).status]).toEqual([type, 404]);
      }
    },
  ],
  [
    "GRPCRoute: a method of any service, and by regex",
    {
      routes: [
        to("orders", { grpc: { method: "Watch" } }, { requestHeaders: { set: { "x-of": "{path.service}" } } }),
        to("canary", { grpc: { type: "regex", service: "shop\\.v[12]\\.(Orders|Carts)", method: "(Get|List).*" } }),
        to("shadow", { grpc: { type: "regex", service: "shop\\..*" } }),
      ],
    },
    async ({ ask }) => {
      const call = async (path: string) => {
        const answer = await ask(path, { method: "POST", headers: { "content-type": "application/grpc" }, body: "x" });
        return answer.headers["grpc-status"] === "12" ? "none" : answer.seen.service;
      };
      expect(await call("/grpc.health.v1.Health/Watch")).toBe("orders");
      expect(await call("/shop.v1.Orders/Watch")).toBe("orders");
      expect(await call("/shop.v1.Orders/GetOne")).toBe("canary");
      expect(await call("/shop.v2.Carts/List")).toBe("canary");
      expect(await call("/shop.v3.Carts/List")).toBe("shadow");
      expect(await call("/shopxv1.Orders/Get")).toBe("none");
      expect(await call("/a/b/Watch")).toBe("none");
    },
  ],
  [
    "HTTPRouteParentRefPort, HTTPRouteDestinationPortMatching: a route is on the ports of the listeners that it names",
    ([one, two]: Ports) => ({
      listeners: [
        { name: "one", port: one },
        { name: "two", port: two },
      ],
      routes: [
        to("orders", all, { listeners: ["one"], priority: 1 }),
        to("canary", all, { listeners: ["two"], priority: 1 }),
        to("shadow", all),
      ],
    }),
    async ({ ask }, [one, two]) => {
      expect((await onceOpen(one, "/")).seen.service).toBe("orders");
      expect((await onceOpen(two, "/")).seen.service).toBe("canary");
      expect((await ask("/")).seen.service).toBe("shadow");
    },
  ],
  [
    "GatewayHTTPListenerIsolation: a listener serves its own hosts, by its own routes",
    ([one, two]: Ports) => ({
      listeners: [
        { name: "one", port: one, hosts: ["*.one.example"], attach: "named" },
        { name: "two", port: two, hosts: ["two.example"], attach: "named" },
      ],
      routes: [
        to("orders", all, { listeners: ["one"] }),
        to("canary", { path: { prefix: "/two" } }, { listeners: ["two"] }),
        to("shadow", { hosts: ["a.one.example", "two.example"], path: { prefix: "/any" } }),
      ],
    }),
    async ({ ask }, [one, two]) => {
      expect((await onceOpen(one, "/any", "a.one.example")).seen.service).toBe("orders");
      expect((await onceOpen(one, "/any", "two.example")).status).toBe(404);
      expect((await onceOpen(two, "/two", "two.example")).seen.service).toBe("canary");
      expect((await onceOpen(two, "/any", "two.example")).status).toBe(404);
      expect((await onceOpen(two, "/two", "a.one.example")).status).toBe(404);
      expect((await ask("/any", { host: "two.example" })).seen.service).toBe("shadow");
      expect((await ask("/two", { host: "two.example" })).status).toBe(404);
    },
  ],
  [
    "HTTPRouteBackendProtocolH2C",
    { routes: [to("rpc", all)] },
    async ({ ask, running }) => {
      const server = createHttp2Server((request, response) => {
        response.end(JSON.stringify({ service: `HTTP/${request.httpVersion}`, body: request.url }));
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as AddressInfo;
      running.plane.change(instance(port, { service: "rpc", protocol: "h2c" }));
      const answer = await eventually("the service is known", async () => {
        const one = await ask("/x?y");
        return one.status === 200 && one;
      });
      expect(answer.seen).toEqual({ service: "HTTP/2.0", body: "/x?y" });
      running.plane.remove("rpc", `i-${port}`);
      await new Promise((resolve) => server.close(resolve));
    },
  ],
  [
    "HTTPRouteBackendProtocolWebSocket",
    one({}),
    async ({ running, services }) => {
      await using sockets = {
        server: new WebSocketServer({ server: services.orders.server }),
        [Symbol.asyncDispose]: async () => {
          for (const peer of sockets.server.clients) peer.terminate();
        },
      };
      sockets.server.on("connection", (peer, { url }) =>
        peer.on("message", (data) => peer.send(`${url} ${(data as Buffer).toString()}`)),
      );
      const client = new WebSocket(`${running.url.replace("http:", "ws:")}/chat`);
      client.on("open", () => client.send("hello"));
      const message = await new Promise<string>((resolve, reject) => {
        client.on("message", (data) => resolve((data as Buffer).toString()));
        client.on("error", reject);
      });
      expect(message).toBe("/chat hello");
      client.terminate();
    },
  ],
  [
    "HTTPRouteRetry: by an answer's code, at another endpoint",
    one({ retry: { attempts: 1, statuses: [503] } }),
    async ({ ask, running, services }) => {
      running.plane.change(instance(services.canary.port, { id: "orders-2" }));
      expect((await ask("/flaky")).status).toBe(200);
      const asked = () => services.orders.requests.length + services.canary.requests.length;
      expect(asked()).toBe(2);
      expect((await ask("/503")).status).toBe(503);
      expect(asked()).toBe(4);
      // A request that a service may have handled is not sent again.
      expect((await ask("/503", { method: "POST", body: "x" })).status).toBe(503);
      expect(asked()).toBe(5);
    },
  ],
  [
    "HTTPRouteRetryConnectionError: a refused connection",
    one({}),
    async ({ ask, running }) => {
      running.plane.change(instance(await freePort(), { id: "dead", weight: 1_000 }));
      for (let i = 0; i < 20; i++) expect((await ask("/", { method: "POST", body: "x" })).seen.body).toBe("x");
    },
  ],
  [
    "HTTPRouteRetryBackendTimeout: a try that takes too long",
    one({ retry: { attempts: 1, on: ["timeout"] }, timeouts: { perTryMs: 150, totalMs: 5_000 } }),
    async ({ ask, running, services }) => {
      running.plane.change(instance(services.canary.port, { id: "orders-2" }));
      expect((await ask("/once-slow")).status).toBe(200);
      expect(services.orders.requests.length + services.canary.requests.length).toBe(2);
    },
  ],
  [
    "retry: an answer of 503 is the client's, and comes once",
    one({}),
    async ({ ask, services }) => {
      expect((await ask("/503")).status).toBe(503);
      expect(services.orders.requests).toHaveLength(1);
    },
  ],
];

test.for(FEATURES.map(([feature, config, check]) => ({ feature, config, check })))(
  "$feature",
  async ({ config, check }) => {
    const ports = [await freePort(), await freePort()] as const;
    const made = typeof config === "function" ? (config as (ports: Ports) => object)(ports) : config;
    let first = true;
    await using running = await world(JSON.parse(JSON.stringify(made)) as object, {
      handle: ({ url }, response) => {
        const again = !first;
        first = false;
        if (url?.endsWith("/slow") || (url === "/once-slow" && !again)) return true;
        if (url === "/own-cors") response.setHeader("access-control-allow-origin", "*");
        if (url === "/503" || (url === "/flaky" && !again)) response.statusCode = 503;
        return false;
      },
    });
    await check(running, ports);
  },
);

/** The Gateway API's requirements for TLS at either end: listeners, their clients' certificates, and BackendTLSPolicy. */
const backends = await authority();
const clients = await authority();
const own = await authority();
const securePort = await freePort();
const onPort = async (name: string, over: object = {}) => ({
  name,
  port: securePort,
  tls: true,
  attach: "named",
  certificates: [await own.issue([`${name}.example`])],
  ...over,
});
const open = (servername: string) =>
  eventually("the listener is open", async () => (await askTls(securePort, { servername })).error !== "ECONNREFUSED");

const FEATURES_OF_TLS: typeof FEATURES = [
  [
    "BackendTLSPolicy: CA and hostname; BackendTLSPolicySANValidation: names in the place of the hostname",
    {
      clusters: [
        { name: "host", tls: { ca: backends.pem, serverName: "orders.internal" } },
        { name: "wrong-host", tls: { ca: backends.pem, serverName: "other.internal" } },
        { name: "wrong-ca", tls: { ca: clients.pem, serverName: "orders.internal" } },
        { name: "dns", tls: { ca: backends.pem, serverName: "edge.internal", subjectAltNames: ["orders.internal"] } },
        {
          name: "uri",
          tls: { ca: backends.pem, serverName: "edge.internal", subjectAltNames: ["spiffe://mesh/orders"] },
        },
        {
          name: "wrong-san",
          tls: { ca: backends.pem, serverName: "orders.internal", subjectAltNames: ["x.internal"] },
        },
      ].map((cluster) => ({ ...cluster, service: "secured" })),
      routes: ["host", "wrong-host", "wrong-ca", "dns", "uri", "wrong-san"].map((name) => ({
        name,
        match: { path: { prefix: `/${name}` } },
        cluster: name,
      })),
    },
    async ({ ask, running }) => {
      await using service = await secured(await backends.issue(["orders.internal", "spiffe://mesh/orders"]));
      running.plane.change(instance(service.port, { service: "secured", id: "secured-1", protocol: "https" }));
      await eventually("it is known", async () => (await ask("/host")).status !== 503);
      for (const name of ["host", "dns", "uri"]) {
        expect([name, (await ask(`/${name}`)).text]).toEqual([
          name,
          name === "host" ? "orders.internal" : "edge.internal",
        ]);
      }
      for (const name of ["wrong-host", "wrong-ca", "wrong-san"]) {
        const { status, headers } = await ask(`/${name}`);
        expect([name, status, headers["x-posthouse-flag"]]).toEqual([name, 502, "UF"]);
      }
    },
  ],
  [
    "GatewayFrontendClientCertificateValidation",
    {
      listeners: [await onPort("a", { clientCertificates: { ca: clients.pem } })],
      routes: [to("orders", all, { listeners: ["a"] })],
    },
    async ({ services }) => {
      await open("a.example");
      const client = await clients.issue(["client.example"]);
      for (const shown of [{}, await backends.issue(["client.example"])]) {
        expect((await askTls(securePort, { servername: "a.example", ...shown })).text).toBe("");
      }
      expect(services.orders.requests).toHaveLength(0);
      expect((await askTls(securePort, { servername: "a.example", ...client })).status).toBe(200);
      expect(services.orders.requests[0]?.headers["x-forwarded-client-cert"]).toContain("DNS=client.example");
    },
  ],
  [
    "GatewayHTTPListenerIsolation, HTTPRouteHTTPSListener, GatewayHTTPSListenerDetectMisdirectedRequests",
    {
      listeners: [
        await onPort("a", { hosts: ["a.example"] }),
        await onPort("rest", { hosts: ["*.example"] }),
        await onPort("any"),
      ],
      routes: [
        to("orders", { path: { prefix: "/a" } }, { listeners: ["a"] }),
        to("canary", all, { listeners: ["rest"] }),
        to("shadow", all, { listeners: ["any"] }),
      ],
    },
    async () => {
      await open("a.example");
      const service = async (servername: string, path: string, host = servername) => {
        const { status, body } = await askTls(securePort, { servername, path, host });
        return status === 200 ? (JSON.parse(body) as Seen).service : status;
      };
      expect(await service("a.example", "/a")).toBe("orders");
      expect(await service("a.example", "/b")).toBe(404);
      expect(await service("b.example", "/b")).toBe("canary");
      expect(await service("other", "/b")).toBe("shadow");
      expect(await service("b.example", "/a", "a.example")).toBe(421);
      expect(await service("a.example", "/a", "other")).toBe(421);
    },
  ],
];

/** A service behind TLS that says what name it was asked for. */
async function secured(identity: { key: string; cert: string }) {
  const server = createTlsServer(identity, (request, response) => {
    response.end(String((request.socket as TLSSocket).servername));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

test.for(FEATURES_OF_TLS.map(([feature, config, check]) => ({ feature, config, check })))(
  "$feature",
  async ({ config, check }) => {
    await using running = await world(JSON.parse(JSON.stringify(config)) as object);
    await check(running, [securePort, securePort]);
  },
);
