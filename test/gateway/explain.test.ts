/**
 * Explaining a request: the explanation matches what the gateway does with the released config, and reveals no secret.
 */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Client, injectTransport } from "#client";
import { OWN_HOST_RULES } from "#health";
import { createControlApi } from "#server/control-api";
import { builtInFilters, gatewayReleaseCheck } from "#gateway";
import { openStore } from "#store";
import { tempFolder, testHost } from "#test/kit";
import { Explainer, explainPlugin } from "../../gateway/explain/plugin.ts";
import { ask } from "./echo.ts";
import { instance, runGateway, upstream } from "./kit.ts";

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const config = {
  trustedProxies: ["10.0.0.1"],
  consumers: [{ name: "acme", groups: ["gold"], keys: [{ sha256: sha256("the-key") }] }],
  routes: [
    { name: "all", match: { path: { prefix: "/" } }, service: "orders" },
    {
      name: "api",
      match: { path: { prefix: "/api" }, methods: ["GET"] },
      service: "orders",
      filters: [{ name: "key-auth" }],
      rewrite: { prefix: "/v1" },
    },
    { name: "api-post", match: { path: { prefix: "/api" }, methods: ["POST"] }, service: "orders" },
    {
      name: "beta",
      match: { path: { prefix: "/api" }, headers: [{ name: "x-beta", present: true }] },
      service: "nobody",
    },
    { name: "old", match: { path: { prefix: "/old" } }, redirect: { prefix: "/new", status: 301 } },
    { name: "office", match: { path: { prefix: "/office" }, sourceCidrs: ["192.0.2.0/24"] }, service: "orders" },
  ],
};

/** A control API with the config released, two instances registered, and explain. */
async function controlPlane() {
  await using stack = new AsyncDisposableStack();
  const host = testHost();
  const store = stack.use(await openStore(host, { engine: "memory" }));
  const control = stack.use(
    await createControlApi(host, {
      store,
      releaseChecks: [gatewayReleaseCheck],
      exposed: false,
      probeRules: OWN_HOST_RULES,
      startMs: 5_000,
      notReady: () => [],
      extend: (app, access) => {
        const token = access.internalToken({ name: "explain", policies: ["viewer"] });
        const client = new Client(host, { transport: injectTransport(app), token });
        explainPlugin(app, new Explainer(host, { client, filters: builtInFilters }));
      },
    }),
  );
  const token = control.firstToken?.token;
  const client = new Client(host, { transport: injectTransport(control.app), token });
  const items = { "gateway.yaml": { format: "yaml" as const, value: JSON.stringify(config) } };
  await client.config.publish({ namespace: "default", app: "gateway", profile: "default" }, { items });
  await client.registry.register(
    { namespace: "default", service: "orders", id: "well" },
    {
      address: "127.0.0.1",
      port: 1111,
      weight: 30,
    },
  );
  await client.registry.register(
    { namespace: "default", service: "orders", id: "idle" },
    {
      address: "127.0.0.1",
      port: 2222,
      weight: 0,
    },
  );
  const owned = stack.move();
  return { client, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test("an explanation names each candidate and why it lost, the steps, the endpoints and what would be sent", async () => {
  await using plane = await controlPlane();
  const answer = await plane.client.gateway.explain({
    url: "http://a.example//api/./x?q=1",
    headers: [
      { name: "X-Api-Key", value: "the-key" },
      { name: "Cookie", value: "session=secret-cookie" },
      { name: "X-Mine", value: "1" },
      { name: "X-Forwarded-For", value: "198.51.100.7" },
    ],
    peer: "10.0.0.1",
  });
  expect(answer.request).toEqual({
    method: "GET",
    host: "a.example",
    path: "/api/x",
    client: "198.51.100.7",
    listener: "default",
  });
  const reasons = Object.fromEntries(
    answer.candidates.map(({ route, verdict, reason }) => [route, `${verdict}: ${reason}`]),
  );
  expect(reasons).toEqual({
    api: "chosen: the first match",
    all: 'lost: "api" comes before it by path',
    "api-post": "lost: method is not POST",
    beta: "lost: header: not x-beta present",
    old: "lost: path is not prefix /old",
    office: "lost: path is not prefix /office",
  });
  expect(answer.steps).toEqual([
    { step: "filter", verdict: "pass", detail: "key-auth" },
    { step: "endpoint", verdict: "pass", detail: "well at 127.0.0.1:1111" },
  ]);
  expect(answer.endpoints.map(({ id, weight, usable }) => [id, weight, usable])).toEqual([
    ["idle", 0, false],
    ["well", 30, true],
  ]);
  expect(answer.outcome).toMatchObject({ kind: "forward", route: "api", target: "/v1/x?q=1" });
  expect(answer.outcome.headers).toMatchObject({
    host: "127.0.0.1:1111",
    "x-mine": "1",
    "x-consumer-name": "acme",
    "x-forwarded-for": "198.51.100.7, 10.0.0.1",
    cookie: "(hidden)",
  });
  expect(JSON.stringify(answer)).not.toMatch(/the-key|secret-cookie/);
  const query = await plane.client.gateway.explain({ url: "http://a.example/old?access_token=very-secret&x=1" });
  expect(query.outcome.headers).toEqual({ location: "http://a.example/new?access_token=(hidden)&x=1" });
  expect(JSON.stringify(query)).not.toContain("very-secret");
});

test("a refusal, a redirect and a route without endpoints are explained with the answer that they would get", async () => {
  await using plane = await controlPlane();
  const outcome = async (url: string, more: object = {}) =>
    (await plane.client.gateway.explain({ url, ...more })).outcome;
  expect(await outcome("http://a/api")).toMatchObject({
    kind: "refuse",
    status: 401,
    code: "GATEWAY_KEY_MISSING",
    route: "api",
  });
  expect(await outcome("http://a/old/x")).toMatchObject({
    kind: "answer",
    status: 301,
    headers: { location: "http://a/new/x" },
  });
  expect(await outcome("http://a/api", { method: "PUT", headers: [{ name: "x-beta", value: "" }] })).toMatchObject({
    code: "GATEWAY_NO_ENDPOINT",
  });
  await expect(outcome("http://a/%2e%2e/x")).rejects.toMatchObject({ code: "GATEWAY_REQUEST_INVALID" });
});

test("the explained deadline is the sooner of the caller's and the route's, and a deadline of 0 is a refusal", async () => {
  const routes = [{ name: "r", match: {}, cluster: "c", deadlineHeader: "X-Left", timeouts: { totalMs: 1_000 } }];
  const clusters = [{ name: "c", endpoints: [{ address: "127.0.0.1", port: 1111 }] }];
  const config = async () => JSON.stringify({ routes, clusters });
  const explainer = new Explainer(testHost(), { client: undefined, filters: builtInFilters, config });
  const outcome = async (...headers: [name: string, value: string][]) => {
    const given = { url: "http://a/", method: "POST", headers: headers.map(([name, value]) => ({ name, value })) };
    return (await explainer.explain(given)).outcome;
  };
  expect((await outcome()).headers).toMatchObject({ "x-left": "1000" });
  expect((await outcome(["x-left", "300"])).headers).toMatchObject({ "x-left": "300" });
  expect((await outcome(["x-left", "5000"])).headers).toMatchObject({ "x-left": "1000" });
  expect((await outcome(["x-left", "soon"])).headers).toMatchObject({ "x-left": "1000" });
  const call = await outcome(["content-type", "application/grpc"], ["grpc-timeout", "2S"], ["x-left", "700"]);
  expect(call.headers).toMatchObject({ "x-left": "700", "grpc-timeout": "700m" });
  expect(await outcome(["x-left", "0"])).toMatchObject({ kind: "refuse", status: 504, flag: "UT" });
});

test("an explanation matches what the gateway does", async () => {
  await using plane = await controlPlane();
  await using service = await upstream((request, response) => void response.end(request.url));
  await using running = await runGateway(config, [instance(service.port)]);
  const requests = fc.record({
    path: fc.constantFrom("/", "/api", "/api/x", "/old", "/office", "/apix", "/old/..%2fx"),
    method: fc.constantFrom("GET", "POST", "PUT"),
    headers: fc.constantFrom({}, { "x-beta": "1" }, { "x-api-key": "the-key" }, { "x-api-key": "wrong" }),
  });
  await fc.assert(
    fc.asyncProperty(requests, async ({ path, method, headers }) => {
      const real = await ask(running.ports.httpPort, path, { method, headers });
      const told = await plane.client.gateway
        .explain({
          url: `http://a.example${path}`,
          method,
          headers: Object.entries(headers).map(([name, value]) => ({ name, value })),
        })
        .then(
          ({ outcome }) => (outcome.kind === "forward" ? [200, outcome.target] : [outcome.status]),
          () => [400],
        );
      expect([path, method, headers, ...told]).toEqual([
        path,
        method,
        headers,
        real.status,
        ...(real.status === 200 ? [real.text] : []),
      ]);
    }),
    { numRuns: 60 },
  );
});

test("the program validates a file with line and column, and tests a route of it without a control plane", async () => {
  await using folder = await tempFolder();
  const run = async (...args: string[]) => {
    const main = join(import.meta.dirname, "..", "..", "bin", "posthouse");
    return promisify(execFile)(process.execPath, [main, ...args]).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: { code: number; stdout: string; stderr: string }) => error,
    );
  };
  const good = join(folder.path, "good.yaml");
  const routes = [
    "- { name: a, match: { path: { prefix: /a } }, priority: 1, respond: { status: 204 } }",
    "- { name: b, match: { path: { prefix: /a/b } }, service: s }",
  ];
  await writeFile(good, `routes:\n  ${routes.join("\n  ")}\n`);
  const valid = await run("gateway", "validate", good);
  expect([valid.code, valid.stdout]).toEqual([0, `${good} is valid: 2 routes, 0 clusters, 0 consumers\n`]);
  expect(valid.stderr).toContain(`${good}:3:23: warning: /routes/1/match: Can never match: route "a"`);
  const bad = join(folder.path, "bad.yaml");
  await writeFile(bad, "routes:\n  - { name: a, match: {}, redirect: { status: 302 } }\n");
  const invalid = await run("gateway", "validate", bad);
  expect([invalid.code, invalid.stderr]).toEqual([1, expect.stringContaining(`${bad}:2:37: /routes/0/redirect: `)]);
  const tested = await run(
    "route",
    "test",
    "get",
    "http://x/a/b",
    "--file",
    good,
    "-H",
    "X-Secret-Token: hush",
    "--bearer",
    "a.b.c",
  );
  expect(tested.stdout).toMatch(/→ a: the first match\n +b: "a" comes before it by priority/);
  expect(tested.stdout).toContain("204 by the gateway");
  expect(tested.stdout + tested.stderr).not.toMatch(/hush|a\.b\.c/);
  const { stdout } = await run("gateway", "key");
  const [, key = "", hashed = ""] = /key: +(\S+)\nsha256: (\S+)\n/.exec(stdout) ?? [];
  expect(hashed).toBe(sha256(key));
});

test("the usable endpoints are explained as the gateway chooses them: by subset, in a panic, and by zone", async () => {
  const at = (port: number, over: object = {}) => ({ address: `127.0.0.${port}`, port: 80, ...over });
  const clusters = [
    { name: "zoned", endpoints: [at(1, { zone: "a" }), at(2, { zone: "b" }), at(3, { zone: "b" })] },
    { name: "two", service: "orders", subset: { version: "2" } },
    { name: "panic", service: "orders" },
  ];
  const routes = clusters.map(({ name }) => ({ name, match: { path: { prefix: `/${name}` } }, cluster: name }));
  const instances = [
    instance(1, { metadata: { version: "1" }, status: "critical" }),
    instance(2, { metadata: { version: "2" } }),
    instance(3, { metadata: { version: "1" }, status: "critical" }),
  ];
  const client = { registry: { instances: async () => ({ instances }) } } as unknown as Client;
  const explainer = new Explainer(testHost(), {
    client,
    filters: builtInFilters,
    config: async () => JSON.stringify({ clusters, routes }),
  });
  const told = async (path: string, zone?: string) => {
    const answer = await explainer.explain({
      url: `http://a.example/${path}`,
      ...(zone === undefined ? {} : { zone }),
    });
    return { usable: answer.endpoints.map(({ usable }) => usable), to: answer.outcome.endpoint };
  };
  expect((await told("two")).usable).toEqual([false, true, false]);
  expect((await told("panic")).usable).toEqual([true, true, true]);
  for (let i = 0; i < 20; i++) expect((await told("zoned", "a")).to).toBe("127.0.0.1:80 at 127.0.0.1:80");
});
