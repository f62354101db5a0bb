/** The actions that one host's token can take on another host: none, whatever the request says. */
import { expect, test } from "vitest";
import { eventually, type TestControl, withControl } from "#test/kit";

const ONE = "/v1/services/orders/instances/one";
const HERE = { address: "10.0.0.1", port: 80 };
const SET = "/v1/config/default/orders/default";

type Call = (
  method: string,
  url: string,
  body?: unknown,
) => Promise<{ status: number; json: Record<string, unknown>; headers: Record<string, unknown> }>;

/** Calls with a token of its own. */
async function as(control: TestControl, request: object): Promise<Call> {
  const { json } = await control.call("POST", "/v1/tokens", request);
  const headers = { authorization: `Bearer ${String(json["token"])}` };
  await eventually("the token is known", async () => {
    const { status } = await control.call("GET", "/v1/watches", undefined, headers);
    return status !== 401;
  });
  return (method, url, body) => control.call(method, url, body, headers);
}

const host = (control: TestControl, name: string) => as(control, { name, policies: ["agent"], apps: ["orders"] });

test("an instance is its principal's, whatever owner a request names or leaves out", async () => {
  await using control = await withControl();
  const [a, b] = [await host(control, "host-a"), await host(control, "host-b")];
  const registration = {
    ...HERE,
    owner: "host-b",
    incarnation: 5,
    checks: [{ id: "up", type: "ttl", ttlSeconds: 60 }],
  };
  expect((await b("PUT", ONE, registration)).status).toBe(201);
  const stolen = [
    await a("PUT", ONE, { ...HERE, port: 81 }),
    await a("PUT", ONE, { ...registration, port: 81 }),
    await a("PUT", ONE, { ...registration, incarnation: 9, owner: "host-a" }),
    await a("POST", "/v1/batches", { instances: [{ service: "orders", id: "one", registration: HERE }] }),
    await a("DELETE", ONE),
    await a("DELETE", `${ONE}?owner=host-b&incarnation=99`),
    await a("DELETE", `${ONE}?drain=1`),
    await a("PUT", `${ONE}/lifecycle`, { lifecycle: "draining" }),
    await a("PUT", `${ONE}/checks/up`, { status: "critical" }),
    await a("PUT", "/v1/services/orders/policy", { fallback: "other" }),
  ];
  expect(stolen.map(({ status }) => status)).toEqual([409, 409, 409, 409, 403, 403, 403, 403, 403, 403]);
  expect((await a("GET", ONE)).json).toMatchObject({
    port: 80,
    lifecycle: "serving",
    owner: "host-b",
    registeredBy: "agent:host-b",
  });
  expect((await b("PUT", ONE, { ...registration, port: 82 })).status).toBe(200);
  // An operator acts for its owner, who keeps it.
  expect((await control.call("PUT", ONE, { ...registration, port: 83 })).status).toBe(200);
  expect((await b("PUT", ONE, { ...registration, port: 84 })).status).toBe(200);
});

test("a principal that withdraws another principal's claim does not lock that principal out", async () => {
  await using control = await withControl();
  const [a, b] = [await host(control, "host-a"), await host(control, "host-b")];
  const claim = { ...HERE, owner: "host-b", incarnation: 5 };
  const forged = `${ONE}?owner=host-b&incarnation=900`;
  expect((await a("DELETE", forged)).status).toBe(404);
  expect((await b("PUT", ONE, claim)).status).toBe(201);
  expect((await b("DELETE", `${ONE}?owner=host-b&incarnation=5`)).status).toBe(200);
  expect((await a("DELETE", forged)).status).toBe(404);
  expect((await b("PUT", ONE, claim)).json).toMatchObject({ code: "REGISTRY_CLAIM_OUTDATED", incarnation: 5 });
  expect((await b("PUT", ONE, { ...claim, incarnation: 6 })).status).toBe(201);
});

test("a session is its principal's, and its id opens nothing to others", async () => {
  await using control = await withControl();
  const [a, b] = [await host(control, "host-a"), await host(control, "host-b")];
  const { id } = (await b("POST", "/v1/sessions", { ttlSeconds: 60 })).json as { id: string };
  expect((await b("PUT", ONE, { ...HERE, session: id })).status).toBe(201);
  expect((await b("PUT", "/v1/locks/leader", { session: id })).json).toMatchObject({ acquired: true });
  const two = { service: "orders", id: "two", registration: { ...HERE, session: id } };
  const refused = [
    await a("PUT", `/v1/sessions/${id}/heartbeat`),
    await a("DELETE", `/v1/sessions/${id}`),
    await a("DELETE", `/v1/locks/leader?session=${id}`),
    await a("PUT", "/v1/locks/leader", { session: id, value: "mine" }),
    await a("PUT", "/v1/services/orders/instances/two", { ...HERE, session: id }),
    await a("POST", "/v1/batches", { instances: [two] }),
    await a("PUT", `${SET}/acknowledgements/a`, { releaseKey: "k", outcome: "applied", session: id }),
    // A lease of the store without a session, as of an earlier version.
    await b("DELETE", `/v1/sessions/${(await control.store.grant(60)).id}`),
  ];
  expect(refused.map(({ status, json }) => [status, json["title"]])).toEqual(
    refused.map(() => [404, "Session not found"]),
  );
  expect((await b("PUT", `/v1/sessions/${id}/heartbeat`)).status).toBe(204);
  expect((await b("DELETE", `/v1/locks/leader?session=${id}`)).status).toBe(200);
  expect((await b("DELETE", `/v1/sessions/${id}`)).status).toBe(204);
});

test("a token that replaces another of the same name has what that one had", async () => {
  await using control = await withControl();
  const before = await host(control, "host-a");
  const { id } = (await before("POST", "/v1/sessions", { ttlSeconds: 60 })).json as { id: string };
  await before("PUT", ONE, { ...HERE, session: id });
  const after = await host(control, "host-a");
  expect((await after("PUT", `/v1/sessions/${id}/heartbeat`)).status).toBe(204);
  expect((await after("PUT", ONE, { ...HERE, session: id, port: 81 })).status).toBe(200);
});

test("an instance registered by an earlier version belongs to the principal of its next registration", async () => {
  await using control = await withControl();
  const [a, b] = [await host(control, "host-a"), await host(control, "host-b")];
  await b("PUT", ONE, HERE);
  const { entries } = await control.store.range({ prefix: "/registry/instances/" });
  const { key, value } = entries[0] as { key: string; value: Uint8Array };
  const { registeredBy: _registeredBy, ...older } = JSON.parse(Buffer.from(value).toString()) as Record<
    string,
    unknown
  >;
  await control.store.txn({ then: [{ type: "put", key, value: Buffer.from(JSON.stringify(older)) }] });
  expect((await b("PUT", ONE, HERE)).status).toBe(200);
  expect((await a("DELETE", ONE)).status).toBe(403);
});

test("a reader cannot acknowledge, lease, or pass for a gateway that has gone", async () => {
  await using control = await withControl();
  const reader = await as(control, { name: "eyes", policies: ["viewer"] });
  const gateway = await as(control, { name: "edge", policies: ["gateway"] });
  const ask = { asks: [{ key: "k", requests: 100, per: 60, want: 100 }] };
  const said = { releaseKey: "k", outcome: "failed", error: "forged" };
  expect((await reader("PUT", `${SET}/acknowledgements/web-1`, said)).status).toBe(403);
  expect((await reader("POST", "/v1/gateway/quotas", ask)).status).toBe(403);
  expect((await gateway("POST", "/v1/gateway/quotas", ask)).status).toBe(200);
  // A gateway speaks of its own config only.
  expect((await gateway("PUT", `${SET}/acknowledgements/web-1`, said)).status).toBe(403);
  expect((await gateway("PUT", "/v1/config/default/gateway/default/acknowledgements/e", said)).status).toBe(204);
});

test("a watch is acknowledged by the principal that opened it only", async () => {
  await using control = await withControl();
  const address = await control.app.listen({ host: "127.0.0.1", port: 0 });
  const tokenOf = async (name: string, role: string) =>
    String((await control.call("POST", "/v1/tokens", { name, policies: [role] })).json["token"]);
  const [edge, eyes] = [await tokenOf("edge", "gateway"), await tokenOf("eyes", "viewer")];
  const open = async (token: string) => {
    const stop = new AbortController();
    const headers = { authorization: `Bearer ${token}` };
    const url = `${address}/v1/watch/services?subscriber=edge`;
    const answer = await eventually("it is open", async () => {
      const one = await fetch(url, { headers, signal: stop.signal });
      return one.status === 200 ? one : undefined;
    });
    return { stop, id: answer.headers.get("x-posthouse-watch") ?? "" };
  };
  const seen = (id: string, token: string) =>
    control.call("PUT", `/v1/watches/${id}/seen`, { revision: 1_000_000 }, { authorization: `Bearer ${token}` });
  const waitingFor = async () => (await control.call("GET", `${ONE}/drain`)).json["waitingFor"];
  await control.call("PUT", ONE, HERE);
  const watch = await open(edge);
  await control.call("PUT", `${ONE}/lifecycle`, { lifecycle: "draining" });
  await eventually("it is waited for", async () => ((await waitingFor()) as string[]).includes("edge"));
  expect((await seen(watch.id, eyes)).status).toBe(404);
  // The gateway is cut off; a reader of the same name does not replace it.
  watch.stop.abort();
  await eventually(
    "it has gone",
    async () => ((await control.call("GET", "/v1/watches")).json["watchers"] as []).length === 0,
  );
  const forged = await open(eyes);
  expect((await seen(forged.id, eyes)).status).toBe(204);
  expect(await waitingFor()).toEqual(["edge"]);
  const back = await open(edge);
  expect((await seen(back.id, edge)).status).toBe(204);
  expect(await waitingFor()).toEqual([]);
  forged.stop.abort();
  back.stop.abort();
});

test("an acknowledgement comes from the principal that follows the config by that name", async () => {
  await using control = await withControl();
  const [a, b] = [await host(control, "host-a"), await host(control, "host-b")];
  const { json } = await control.call("POST", `${SET}/releases`, { items: { k: { format: "text", value: "v" } } });
  expect(json["version"]).toBe(1);
  const { id } = (await b("POST", "/v1/sessions", { ttlSeconds: 60 })).json as { id: string };
  const say = (call: Call, outcome: string, more = {}) =>
    call("PUT", `${SET}/acknowledgements/web-1`, { releaseKey: "k", outcome, ...more });
  expect((await say(b, "applied", { session: id })).status).toBe(204);
  await eventually("it is known", async () => {
    const list = (await b("GET", `${SET}/acknowledgements`)).json as { subscribers: unknown[] };
    return list.subscribers.length === 1;
  });
  expect((await say(a, "failed")).json).toMatchObject({ code: "CONFIG_SUBSCRIBER_TAKEN" });
  expect((await say(b, "failed", { session: id })).status).toBe(204);
});

test("limits of a token: its services, its apps with their secrets, its namespaces, and nothing that is about all", async () => {
  await using control = await withControl();
  const limited = await as(control, {
    name: "h",
    policies: ["agent"],
    apps: ["orders"],
    services: ["orders"],
    namespaces: ["default"],
  });
  const open = await as(control, { name: "open", policies: ["agent"], apps: ["*"] });
  const unbound = await as(control, { name: "unbound", policies: ["agent"] });
  for (const app of ["orders", "pay"]) {
    await control.call("POST", `/v1/config/default/${app}/default/releases`, {
      items: { k: { format: "text", value: app } },
    });
  }
  const allowed: [string, string, unknown?][] = [
    ["PUT", ONE, HERE],
    ["GET", "/v1/services/pay"],
    ["GET", SET],
    ["GET", `${SET}/keys/k`],
    ["PUT", `${SET}/acknowledgements/h`, { releaseKey: "k", outcome: "applied" }],
    ["GET", "/v1/config/default/posthouse/default"],
    ["POST", "/v1/sessions", { ttlSeconds: 5 }],
    ["GET", "/v1/locks"],
  ];
  const refused: [string, string, unknown?][] = [
    ["PUT", "/v1/services/pay/instances/one", HERE],
    ["PUT", `${ONE}?namespace=prod`, HERE],
    ["POST", "/v1/batches", { instances: [{ service: "pay", id: "x", registration: HERE }] }],
    ["GET", "/v1/services?namespace=prod"],
    ["GET", "/v1/config/default/pay/default"],
    ["GET", "/v1/config/default/pay/default/keys/k"],
    ["GET", "/v1/config/default/pay/default/releases/1"],
    ["GET", "/v1/watch/config?namespace=default&app=pay&profile=default"],
    ["GET", "/v1/config/prod/orders/default"],
    ["GET", `${SET}/diff?toNamespace=prod`],
    ["PUT", "/v1/config/default/pay/default/acknowledgements/h", { releaseKey: "k", outcome: "failed" }],
    ["PUT", "/v1/config/default/posthouse/default/acknowledgements/h", { releaseKey: "k", outcome: "failed" }],
    ["POST", "/v1/flags/default/pay/default/ofrep/v1/evaluate/flags", {}],
    ["GET", "/v1/config-search?text=a&namespace=prod"],
    ["GET", "/v1/config/prod/rules"],
    ["GET", "/v1/members"],
    ["GET", "/v1/locks?namespace=prod"],
  ];
  for (const [method, url, body] of allowed) {
    const { status, json } = await limited(method, url, body);
    expect([401, 403], `${method} ${url} ${String(json["detail"])}`).not.toContain(status);
  }
  for (const [method, url, body] of refused) {
    expect((await limited(method, url, body)).json, `${method} ${url}`).toMatchObject({ code: "HTTP_FORBIDDEN" });
  }
  // Lists have what the caller may read.
  const sets = (await limited("GET", "/v1/config")).json["sets"] as { app: string }[];
  expect(sets.map(({ app }) => app)).toEqual(["orders"]);
  const found = (await limited("GET", "/v1/config-search?text=k")).json["hits"] as { app: string }[];
  expect(found.map(({ app }) => app)).toEqual(["orders"]);
  expect((await open("GET", "/v1/config/default/pay/default")).status).toBe(200);
  expect((await unbound("GET", "/v1/config/default/pay/default")).status).toBe(403);
  expect((await unbound("GET", "/v1/config/default/posthouse/default")).status).toBe(404);
  const operator = await control.call("POST", "/v1/tokens", { name: "o", policies: ["operator"], apps: ["orders"] });
  expect(operator.json).toMatchObject({ code: "ACCESS_LIMITS_NOT_ALLOWED" });
});
