/** Policies at the control API: the parts of lists and watches that a caller sees, the keys that it changes, and when changes apply. */
import { createHash } from "node:crypto";
import { afterAll, expect, test } from "vitest";
import { eventually, hangSignal, withControl, within } from "#test/kit";

const control = await withControl();
afterAll(() => control[Symbol.asyncDispose]());
const address = await control.app.listen({ host: "127.0.0.1", port: 0 });

const HERE = { address: "10.0.0.1", port: 80 };
const text = (value: string) => ({ format: "text", value });
let made = 0;

/** Calls with a token that has a policy with these rules, and with no other rights. */
async function withRules(rules: readonly object[], limits: object = {}) {
  const policy = `policy-${++made}`;
  expect((await control.call("PUT", `/v1/policies/${policy}`, { rules })).status).toBeLessThan(300);
  const { json } = await control.call("POST", "/v1/tokens", { name: policy, policies: [policy], ...limits });
  const headers = { authorization: `Bearer ${String(json["token"])}` };
  await eventually(
    "the token is known",
    async () => (await control.call("GET", "/v1/me", undefined, headers)).status === 200,
  );
  return {
    policy,
    tokenId: String(json["id"]),
    headers,
    call: (method: string, url: string, body?: unknown) => control.call(method, url, body, headers),
    setRules: (changed: readonly object[]) => control.call("PUT", `/v1/policies/${policy}`, { rules: changed }),
  };
}

/** A stream of the control API, with what has arrived of it. */
async function follow(url: string, headers: Record<string, string>) {
  const stop = new AbortController();
  const answer = await fetch(`${address}${url}`, { headers, signal: AbortSignal.any([stop.signal, hangSignal()]) });
  expect(answer.status).toBe(200);
  const stream = { text: "", ended: false, stop: () => stop.abort() };
  void (async () => {
    try {
      for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) {
        stream.text += Buffer.from(chunk).toString();
      }
    } catch {
      // Stopped by the test.
    }
    stream.ended = true;
  })();
  return stream;
}

const allow = (actions: string[], on?: object) => ({ effect: "allow", actions, ...(on ? { on } : {}) });
const deny = (actions: string[], on?: object) => ({ effect: "deny", actions, ...(on ? { on } : {}) });

test("services: lists, watches and deltas have what the caller may see", async () => {
  const team = await withRules([
    allow(["registry:read"], { service: ["shop-*"] }),
    deny(["registry:read"], { service: ["shop-secret"] }),
  ]);
  for (const service of ["shop-cart", "shop-secret", "payments"]) {
    await control.call("PUT", `/v1/services/${service}/instances/one`, HERE);
  }
  const { json } = await team.call("GET", "/v1/services");
  expect((json["services"] as { service: string }[]).map(({ service }) => service)).toEqual(["shop-cart"]);
  expect((await team.call("GET", "/v1/services/payments")).json).toMatchObject({
    code: "HTTP_FORBIDDEN",
    action: "registry:read",
    resource: { namespace: "default", service: "payments" },
    rule: { effect: "allow", actions: ["registry:read"], on: { namespace: ["default"], service: ["payments"] } },
    detail: expect.stringContaining(`no rule of the policies ${team.policy} allows it`) as string,
  });
  expect((await team.call("GET", "/v1/services/shop-secret/instances")).json).toMatchObject({
    rule: { policy: team.policy, index: 2, effect: "deny" },
  });
  const watch = await follow("/v1/watch/services?subscriber=team", team.headers);
  const all = await follow("/v1/watch/services", { authorization: `Bearer ${control.token}` });
  await eventually("both are up to date", () => [watch, all].every((one) => one.text.includes("event: synced")));
  for (const service of ["payments", "shop-secret", "shop-cart"]) {
    await control.call("PUT", `/v1/services/${service}/instances/two`, HERE);
  }
  await eventually("the change is seen", () => watch.text.includes('"two"') && all.text.split('"two"').length > 3);
  expect(watch.text).toContain("shop-cart");
  expect(watch.text).not.toContain("payments");
  expect(watch.text).not.toContain("shop-secret");
  // A drain waits for those that see the service.
  await control.call("PUT", "/v1/services/payments/instances/two/lifecycle", { lifecycle: "draining" });
  expect((await control.call("GET", "/v1/services/payments/instances/two/drain")).json["waitingFor"]).toEqual([]);
  await control.call("PUT", "/v1/services/shop-cart/instances/two/lifecycle", { lifecycle: "draining" });
  expect((await control.call("GET", "/v1/services/shop-cart/instances/two/drain")).json["waitingFor"]).toEqual([
    "team",
  ]);
  // Several services in one watch: each must be visible.
  expect((await team.call("GET", "/v1/watch/services?service=shop-cart&service=payments")).status).toBe(403);
  watch.stop();
  all.stop();
});

test("scrape targets: Prometheus receives the services that its token may see", async () => {
  const monitoring = await withRules([
    allow(["registry:read"], { service: ["scraped-*"] }),
    deny(["registry:read"], { service: ["scraped-secret"] }),
  ]);
  for (const service of ["scraped-cart", "scraped-secret", "hidden"]) {
    expect((await control.call("PUT", `/v1/services/${service}/instances/i-1`, HERE)).status).toBe(201);
  }
  const servicesFor = async (headers: Record<string, string>) => {
    const answer = await fetch(`${address}/v1/sd/prometheus`, { headers, signal: hangSignal() });
    const targets = (await answer.json()) as { labels: Record<string, string> }[];
    return new Set(targets.map(({ labels }) => labels["__meta_posthouse_service"]));
  };
  const whole = { authorization: `Bearer ${control.token}` };
  await eventually("all are registered", async () =>
    new Set(["scraped-cart", "scraped-secret", "hidden"]).isSubsetOf(await servicesFor(whole)),
  );
  expect(await servicesFor(monitoring.headers)).toEqual(new Set(["scraped-cart"]));
  expect((await monitoring.call("GET", "/v1/sd/prometheus?service=hidden")).status).toBe(403);
});

test("a batch is allowed by its items, and an item outside of the rights refuses it", async () => {
  const one = await withRules([allow(["registry:write"], { service: ["batch-a", "batch-b"] })]);
  const batch = (...services: string[]) =>
    one.call("POST", "/v1/batches", {
      instances: services.map((service) => ({ service, id: "i", registration: HERE })),
    });
  expect((await batch("batch-a", "batch-b")).status).toBe(200);
  expect((await batch("batch-a", "batch-c")).json).toMatchObject({ resource: { service: "batch-c" } });
});

test("keys: a caller reads, finds, compares, exports and changes those of its rules only", async () => {
  const SET = "/v1/config/keys/shop/default";
  await control.call("POST", `${SET}/releases`, { items: { "public.a": text("one"), "secret.b": text("hidden-one") } });
  const team = await withRules([
    allow(["config:read"], { namespace: ["keys"] }),
    deny(["config:read"], { key: ["secret.*"] }),
    allow(["config:draft", "config:publish", "config:review"], { app: ["shop"], key: ["public.*"] }),
  ]);
  const operator = { authorization: `Bearer ${control.token}` };
  await eventually("it is live", async () => (await control.call("GET", SET)).status === 200);
  const effective = await team.call("GET", SET);
  expect(Object.keys(effective.json["items"] as object)).toEqual(["public.a"]);
  expect(effective.headers["etag"]).not.toBe((await control.call("GET", SET)).headers["etag"]);
  expect((await team.call("GET", `${SET}/keys/secret.b`)).json).toMatchObject({
    code: "HTTP_FORBIDDEN",
    rule: { index: 2 },
  });
  expect((await team.call("GET", `${SET}/releases/1`)).json["items"]).toEqual({ "public.a": text("one") });
  expect((await team.call("GET", "/v1/config-search?text=hidden")).json["hits"]).toEqual([]);
  const watch = await follow("/v1/watch/config?namespace=keys&app=shop&profile=default", team.headers);
  const patches = await follow("/v1/watch/config?namespace=keys&app=shop&profile=default&patches=true", team.headers);
  const all = await follow("/v1/watch/config?namespace=keys&app=shop&profile=default", operator);

  const items = { "public.a": text("two"), "secret.b": text("hidden-two") };
  expect((await team.call("POST", `${SET}/releases`, { items })).json).toMatchObject({
    code: "HTTP_FORBIDDEN",
    action: "config:publish",
    resource: { key: "secret.b" },
  });
  // Leaving a key out removes it.
  expect((await team.call("POST", `${SET}/releases`, { items: { "public.a": text("two") } })).status).toBe(403);
  const kept = { ...items, "secret.b": text("hidden-one") };
  expect((await team.call("POST", `${SET}/releases`, { items: kept })).status).toBe(201);
  expect((await team.call("DELETE", `${SET}/keys/secret.b`)).status).toBe(403);
  expect((await team.call("PUT", `${SET}/drafts/secret.b`, { format: "text", value: "x" })).status).toBe(403);
  await control.call("POST", `${SET}/releases`, { items: { ...kept, "secret.b": text("hidden-three") } });
  expect((await team.call("POST", `${SET}/rollback`, { toVersion: 1 })).json).toMatchObject({
    action: "config:publish",
  });
  const diff = await team.call("GET", `${SET}/diff?from=1&to=3`);
  expect((diff.json["differences"] as { key: string }[]).map(({ key }) => key)).toEqual(["public.a"]);
  await eventually(
    "all watches have it",
    () => all.text.includes("hidden-three") && watch.text.split("two").length > 1,
  );
  await eventually("patches have it", () => patches.text.includes("two"));
  for (const one of [watch, patches]) expect(one.text).not.toContain("hidden");
  const zip = await control.app.inject({ url: `${SET}/export`, headers: team.headers });
  expect(zip.rawPayload.includes("public.a")).toBe(true);
  expect(zip.rawPayload.includes("secret.b")).toBe(false);
  // Control of a rollout concerns all keys.
  expect((await team.call("POST", `${SET}/rollout/abort`, {})).status).toBe(403);
  for (const one of [watch, patches, all]) one.stop();
});

test("proposals: their keys are those of the reviewer and of the publisher, too", async () => {
  const SET = "/v1/config/props/shop/default";
  await control.call("POST", `${SET}/releases`, { items: { a: text("1"), b: text("1") } });
  await control.call("PUT", `${SET}/drafts/b`, { format: "text", value: "2" });
  const proposed = await control.call("POST", `${SET}/proposals`, { reason: "r" });
  const id = String(proposed.json["id"]);
  const team = await withRules([
    allow(["config:read", "config:review", "config:publish", "config:draft"], { namespace: ["props"], key: ["a"] }),
  ]);
  expect((await team.call("GET", `${SET}/proposals/${id}`)).json["changes"]).toEqual({});
  expect((await team.call("GET", `${SET}/drafts`)).json["drafts"]).toEqual([]);
  expect((await team.call("POST", `${SET}/proposals/${id}/reviews`, { verdict: "approved" })).json).toMatchObject({
    code: expect.stringMatching(/HTTP_FORBIDDEN|HTTP_INVALID/) as string,
  });
  expect((await team.call("POST", `${SET}/proposals/${id}/publish`, {})).json).toMatchObject({
    resource: { key: "b" },
  });
  expect((await control.call("POST", `${SET}/proposals/${id}/publish`, {})).status).toBe(201);
});

test("locks and namespaces: lists have what the caller may see", async () => {
  const session = String((await control.call("POST", "/v1/sessions", { ttlSeconds: 60 })).json["id"]);
  for (const lock of ["team%2Fone", "other"]) await control.call("PUT", `/v1/locks/${lock}`, { session });
  const team = await withRules([
    allow(["locks:read"], { lock: ["team/*"] }),
    allow(["registry:read"], { service: ["shop-*"] }),
  ]);
  const { json } = await team.call("GET", "/v1/locks");
  expect((json["locks"] as { name: string }[]).map(({ name }) => name)).toEqual(["team/one"]);
  expect((await team.call("GET", "/v1/locks/other")).status).toBe(403);
  expect((await team.call("GET", "/v1/namespaces")).json["namespaces"]).toEqual(["default"]);
});

test("a changed policy, and a revoked token, end open watches and feeds within a second", async () => {
  const team = await withRules([allow(["registry:read"], { service: ["shop-*"] })]);
  const other = await withRules([allow(["registry:read"])]);
  const streams = await Promise.all(["/v1/watch/services", "/v1/feed"].map((url) => follow(url, team.headers)));
  const unchanged = await follow("/v1/watch/services", other.headers);
  await eventually("they are open", () => [...streams, unchanged].every((one) => one.text !== ""));
  await team.setRules([allow(["registry:read"], { service: ["cart"] })]);
  await within(1_000, "the change takes effect", () => streams.every((one) => one.ended));
  expect(unchanged.ended).toBe(false);
  const again = await follow("/v1/watch/services", team.headers);
  await control.call("DELETE", `/v1/tokens/${team.tokenId}`);
  await within(1_000, "the revocation takes effect", () => again.ended);
  expect((await team.call("GET", "/v1/services")).status).toBe(401);
  unchanged.stop();
});

test("refusals are listed with the rule that decided, and counted", async () => {
  const team = await withRules([allow(["config:read"]), deny(["config:read"], { app: ["pay"] })]);
  await team.call("GET", "/v1/config/default/pay/default");
  await control.call("GET", "/v1/me", undefined, { authorization: "Bearer nonsense" });
  const { json } = await control.call("GET", "/v1/acl/denials");
  const denials = json["denials"] as Record<string, unknown>[];
  expect(denials[0]).toMatchObject({ code: "HTTP_TOKEN_INVALID", status: 401, route: "/v1/me" });
  expect(denials[1]).toMatchObject({
    principal: { name: team.policy, kind: "token" },
    action: "config:read",
    resource: { app: "pay", namespace: "default", profile: "default" },
    rule: { policy: team.policy, index: 2 },
    route: "/v1/config/:namespace/:app/:profile",
    method: "GET",
  });
  expect((await team.call("GET", "/v1/acl/denials")).status).toBe(403);
  const metrics = await control.app.inject({ url: "/metrics" });
  expect(metrics.payload).toMatch(/posthouse_denials_total\{code="HTTP_FORBIDDEN"\} \d/);
});

test("a token of an earlier version has the policy of its role", async () => {
  const put = async (id: string, record: object) => {
    const sha256 = createHash("sha256").update("a".repeat(64)).digest("hex");
    const value = Buffer.from(JSON.stringify({ ...record, sha256, createdAtMs: 1 }));
    await control.store.txn({ then: [{ type: "put", key: `/access/tokens/${id}`, value }] });
    const headers = { authorization: `Bearer ph_${id}_${"a".repeat(64)}` };
    return eventually("the token is known", async () => {
      const { status, json } = await control.call("GET", "/v1/me", undefined, headers);
      return status === 200 ? { json, headers } : undefined;
    });
  };
  const reader = await put("1".repeat(16), { name: "eyes", role: "reader", format: 2 });
  expect(reader.json).toMatchObject({ name: "eyes", policies: ["viewer"] });
  const agent = await put("2".repeat(16), { name: "host", role: "agent", format: 2, services: ["old"] });
  expect(agent.json).toMatchObject({ policies: ["agent"], limits: { services: ["old"] } });
  // It reads configs as before, without secrets.
  expect((await control.call("GET", "/v1/config", undefined, agent.headers)).status).toBe(200);
  await control.call("PUT", "/v1/services/old/instances/one", HERE, agent.headers);
  expect((await control.call("GET", "/v1/services/old/instances/one")).json["registeredBy"]).toBe("agent:host");
});

test("a page that resolves its own name to this host is refused, on every path", async () => {
  for (const host of ["evil.example", "evil.example:8500", "127.0.0.1.evil.example"]) {
    const answer = await control.call("GET", "/livez", undefined, { host });
    expect([answer.status, answer.json["code"]], host).toEqual([403, "HTTP_HOST_REFUSED"]);
  }
  for (const host of ["localhost:8500", "127.0.0.1", "[::1]:8500"]) {
    expect((await control.call("GET", "/livez", undefined, { host })).status).toBe(200);
  }
});
