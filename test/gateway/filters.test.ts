/** Filters: the built-in ones with real requests, and one of an operator's own. */
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadFilters, parseGatewayConfig } from "#gateway";
import { tempFolder } from "#test/kit";
import { world } from "./echo.ts";
import { sendRaw } from "./kit.ts";

const all = { path: { prefix: "/" } };
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const filters = (...uses: object[]) => ({ routes: [{ name: "r", match: all, service: "orders", filters: uses }] });

test("ip-restriction lets in and keeps out the client's address, and believes trusted proxies only", async () => {
  const rule = { name: "ip-restriction", config: { allow: ["10.0.0.0/8"], deny: ["10.9.0.0/16"] } };
  await using trusting = await world({ ...filters(rule), trustedProxies: ["127.0.0.0/8"] });
  const status = async (address: string) =>
    (await trusting.ask("/", { headers: { "x-forwarded-for": address } })).status;
  expect(await status("10.1.1.1")).toBe(200);
  expect(await status("10.9.1.1")).toBe(403);
  expect(await status("192.0.2.1")).toBe(403);
  expect(await status("10.1.1.1, 192.0.2.1")).toBe(403);
  await using plain = await world(filters(rule));
  const lie = await plain.ask("/", { headers: { "x-forwarded-for": "10.1.1.1" } });
  expect([lie.status, lie.headers["x-posthouse-flag"]]).toEqual([403, "AD"]);
  expect(plain.services.orders.requests).toHaveLength(0);
});

test("key-auth finds the consumer of a key, tells the service who it is and not the key, and groups decide", async () => {
  await using running = await world({
    consumers: [
      { name: "acme", groups: ["gold"], keys: [{ sha256: sha256("acme-key") }] },
      { name: "umbrella", keys: [{ sha256: sha256("umbrella-key") }] },
    ],
    ...filters({ name: "key-auth" }, { name: "consumer-acl", config: { allow: { groups: ["gold"] } } }),
  });
  const none = await running.ask("/");
  expect([none.status, none.headers["www-authenticate"]]).toEqual([401, 'ApiKey header="x-api-key"']);
  expect((await running.ask("/", { headers: { "x-api-key": "guess" } })).text).toContain("GATEWAY_KEY_INVALID");
  expect((await running.ask("/", { headers: { "x-api-key": "umbrella-key" } })).status).toBe(403);
  const { headers } = (await running.ask("/", { headers: { "x-api-key": "acme-key", "x-consumer-name": "root" } }))
    .seen;
  expect(headers).toMatchObject({ "x-consumer-name": "acme", "x-consumer-groups": "gold" });
  expect(headers["x-api-key"]).toBeUndefined();
});

test("each consumer has its own allowance, part of a split and cache", async () => {
  await using running = await world({
    consumers: ["a", "b"].map((name) => ({
      name,
      groups: name === "b" ? ["beta"] : [],
      keys: [{ sha256: sha256(name) }],
    })),
    routes: [
      {
        name: "r",
        match: all,
        filters: [{ name: "key-auth" }],
        rateLimit: { requests: 2, perSeconds: 60, by: "consumer" },
        split: [{ service: "canary", when: { groups: ["beta"] } }, { service: "orders" }],
        cache: {},
      },
    ],
  });
  const of = (key: string) => running.ask("/", { headers: { "x-api-key": key } });
  expect((await of("a")).seen.service).toBe("orders");
  expect((await of("b")).seen.service).toBe("canary");
  expect((await of("a")).status).toBe(200);
  expect((await of("a")).status).toBe(429);
  expect((await of("b")).status).toBe(200);
});

test("request-validation lets through what fits its schema, whole and unchanged, and says where the rest does not", async () => {
  const body = {
    type: "object",
    required: ["amount"],
    properties: { amount: { type: "integer", minimum: 1 }, sku: { pattern: "^(a+)+$" } },
  };
  await using running = await world(
    filters({
      name: "request-validation",
      config: { body, query: { properties: { page: { pattern: "^[0-9]+$" } } }, bytesMax: 200 },
    }),
  );
  const json = { "content-type": "application/json; charset=utf-8" };
  const post = (text: string, headers: Record<string, string> = json) =>
    running.ask("/", { method: "POST", body: text, headers });
  const good = '{ "amount": 1 }';
  expect((await post(good)).seen.body).toBe(good);
  expect((await post(good, { ...json, "transfer-encoding": "chunked" })).seen.body).toBe(good);
  const bad = await post('{"amount": 0}');
  expect([bad.status, bad.text]).toEqual([422, expect.stringContaining("/amount must be >= 1")]);
  expect((await post("{")).status).toBe(400);
  expect((await post(good, { "content-type": "text/plain" })).status).toBe(415);
  expect((await post(`{"amount": 1, "x": "${"x".repeat(300)}"}`)).status).toBe(413);
  expect((await running.ask("/?page=x", { method: "POST", body: good, headers: json })).status).toBe(400);
  expect((await running.ask("/", { headers: json })).status).toBe(400);
  // With a pattern that backtracks, the engine of JavaScript would think about this for longer than the universe is old.
  expect((await post(`{"amount": 1, "sku": "${"a".repeat(60)}!"}`)).status).toBe(422);
  expect(running.services.orders.requests).toHaveLength(2);
});

test("a client that waits for leave to send gets it from a filter that reads bodies", async () => {
  const config = filters({ name: "request-validation", config: { body: { required: ["a"] }, bytesMax: 100 } });
  await using running = await world(config);
  const head = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-type: application/json\r\n";
  const answer = await sendRaw(running.running.ports.httpPort, `${head}content-length: 8\r\n\r\n{"a": 1}`);
  expect(answer.text.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 100", "HTTP/1.1 200"]);
  const refused = await sendRaw(running.running.ports.httpPort, `${head}content-length: 8\r\n\r\n{"b": 1}`);
  expect(refused.text).toContain("HTTP/1.1 422");
});

test("a filter that throws fails its own request, and no other", async () => {
  const filter = (name: string, built: object) => [
    name,
    { name, description: "", phase: "request" as const, schema: { type: "object" }, build: () => built },
  ];
  const fail = () => {
    throw new Error("broken");
  };
  const loaded = new Map([
    filter("asks", { request: fail }),
    filter("reads", { body: { bytesMax: 10, check: fail } }),
    filter("changes", { answer: fail }),
  ] as never) as never;
  const routes = ["asks", "reads", "changes"].map((name) => ({
    name,
    match: { path: { prefix: `/${name}` } },
    service: "orders",
    filters: [{ name }],
  }));
  await using running = await world(
    { routes: [...routes, { name: "r", match: all, service: "orders" }] },
    { settings: { filters: loaded } },
  );
  for (const { name } of routes) {
    const broken = await running.ask(`/${name}`, { method: "POST", body: "x" });
    expect([name, broken.status, broken.headers["x-posthouse-flag"]]).toEqual([name, 500, "IE"]);
  }
  expect((await running.ask("/")).status).toBe(200);
  expect(running.running.gateway.status().inFlight).toBe(0);
});

test("an invalid verdict refuses the request, in any phase, and a promise that fails harms no other request", async () => {
  const said: Record<string, unknown> = {
    promise: Promise.resolve({ kind: "refuse", error: "FILTER_REFUSED", detail: "no" }),
    failing: undefined,
    empty: {},
    nothing: null,
    no: false,
    yes: true,
    word: "refuse",
    denied: { kind: "deny" },
  };
  const say = (name: string) => () => (name === "failing" ? Promise.reject(new Error("late")) : said[name]);
  const phases = ["connection", "authenticate", "authorise", "request"] as const;
  const uses = Object.keys(said).flatMap((name) => [
    ...phases.map((phase) => ({ name: `${phase}-${name}`, phase, built: { request: say(name) } })),
    { name: `body-${name}`, phase: "request", built: { body: { bytesMax: 10, check: say(name) } } },
  ]);
  uses.push({
    name: "body-pass",
    phase: "request",
    built: { body: { bytesMax: 10, check: () => ({ kind: "pass" }) } },
  });
  uses.push({ name: "answer", phase: "request", built: { answer: async () => {} } } as never);
  const loaded = new Map(
    uses.map(({ name, phase, built }) => [
      name,
      { name, description: "", phase, schema: { type: "object" }, build: () => built },
    ]),
  ) as never;
  const routes = uses.map(({ name }) => ({
    name,
    match: { path: { prefix: `/${name}` } },
    service: "orders",
    filters: [{ name }],
  }));
  await using running = await world({ routes }, { settings: { filters: loaded } });
  for (const { name } of uses) {
    const broken = await running.ask(`/${name}`, { method: "POST", body: "x" });
    expect([name, broken.status, broken.headers["x-posthouse-flag"]]).toEqual([name, 500, "IE"]);
  }
  expect(running.services.orders.requests.map(({ url }) => url)).toEqual(["/answer"]);
});

test("a filter of the operator's own is checked, asked, and changes the answer", async () => {
  const path = join(import.meta.dirname, "..", "..", "docs", "examples", "tenant-filter.js");
  const loaded = await loadFilters([path]);
  await using running = await world(filters({ name: "tenant", config: { tenants: ["acme"] } }), {
    settings: { filters: loaded },
  });
  const { headers, seen } = await running.ask("/", { host: "acme.example" });
  expect(seen.headers["x-tenant"]).toBe("acme");
  expect(headers["x-served-for"]).toBe("acme");
  expect((await running.ask("/", { host: "evil.example" })).status).toBe(404);
  const text = JSON.stringify(filters({ name: "tenant", config: { tenants: "acme" } }));
  expect(parseGatewayConfig(text, loaded).problems[0]).toMatchObject({ pointer: "/routes/0/filters/0/config/tenants" });
  expect(parseGatewayConfig(text).problems[0]?.message).toMatch(/Unknown filter "tenant".*ip-restriction/);
  await expect(loadFilters([join(import.meta.dirname, "kit.ts")])).rejects.toMatchObject({
    code: "GATEWAY_FILTER_INVALID",
  });
});

/** A filter of an operator's own that passes each request and sets one header. */
async function headerFilter(folder: string, [name, value]: readonly [string, string]) {
  const path = join(folder, "filter.mjs");
  await writeFile(
    path,
    `export default {
      name: "own", description: "Sets a header.", phase: "request", schema: { type: "object" },
      build: () => ({ request: () => ({ kind: "pass", set: [${JSON.stringify([name, value])}] }) }),
    };`,
  );
  return loadFilters([path]);
}

// U+010A is 0x0a when it is written byte for byte.
test.each(["a\r\nx-evil: 1", "a\u010d\u010ax-evil: 1", "snow \u2603"])(
  "a filter that sets the header %j fails the request, and no byte of it reaches the service",
  async (value) => {
    await using folder = await tempFolder();
    const settings = { filters: await headerFilter(folder.path, ["x-claim", value]) };
    await using running = await world(filters({ name: "own" }), { settings });
    const { status, headers } = await running.ask("/", { method: "GET" });
    expect([status, headers["x-posthouse-flag"]]).toEqual([500, "IE"]);
    expect(running.services.orders.requests).toHaveLength(0);
  },
);

test("a header that a filter sets replaces the client's own, in any case of letters", async () => {
  await using folder = await tempFolder();
  const settings = { filters: await headerFilter(folder.path, ["X-Team", "one"]) };
  await using running = await world(filters({ name: "own" }), { settings });
  const { seen } = await running.ask("/", { headers: { "x-team": "root", "X-TEAM-b": "kept" } });
  expect(seen.headers).toMatchObject({ "x-team": "one", "x-team-b": "kept" });
});
