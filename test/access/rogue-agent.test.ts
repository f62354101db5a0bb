/**
 * A rogue agent: everything that the token of one host might try on others. Each attempt is refused with a code, and an answer that names
 * the action, the resource, and the rule or limit. Afterwards nothing of the others has changed.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, tempFolder, type TestControl, withControl } from "#test/kit";
import { heldKeys, key, MASK } from "../config-server/secrets-kit.ts";
import { requestFor } from "../identity/kit.ts";
import { type AnyCall, as, type Caller, callerWith } from "./as.ts";

const CANARY = "rogue-canary-Qx71";
const HERE = { address: "10.0.0.1", port: 80 };
const PAY = "/v1/config/default/pay/default";
const ORDERS = "/v1/config/default/orders/default";
const ONE = "/v1/services/pay/instances/one";

let control: TestControl;
/** The agent of host B, whose host runs pay; the rogue is that of host A, which runs orders. */
let victim: Caller;
let rogue: Caller;
let session: string;
let csr: { orders: string; pay: string; other: string };

beforeAll(async () => {
  control = await withControl({ secretKeys: heldKeys(key("k1", 1)) });
  for (const app of ["pay", "orders"]) {
    const items = {
      password: { format: "text", value: `${CANARY}-${app}`, secret: true },
      plain: { format: "text", value: `value of ${app}` },
    };
    expect((await control.call("POST", `/v1/config/default/${app}/default/releases`, { items })).status).toBe(201);
  }
  const bound = (app: string) => ({ policies: ["agent"], namespaces: ["default"], apps: [app], services: [app] });
  victim = await as(control, { name: "host-b", ...bound("pay") });
  rogue = await as(control, { name: "host-a", ...bound("orders") });
  session = String((await victim.call("POST", "/v1/sessions", { ttlSeconds: 600 })).json["id"]);
  const registration = { ...HERE, session, checks: [{ id: "up", type: "ttl", ttlSeconds: 600 }] };
  expect((await victim.call("PUT", ONE, registration)).status).toBe(201);
  expect((await victim.call("PUT", "/v1/locks/pay-leader", { session })).json).toMatchObject({ acquired: true });
  const said = { releaseKey: "k", outcome: "applied", session };
  expect((await victim.call("PUT", `${PAY}/acknowledgements/pay-1`, said)).status).toBe(204);
  await eventually("the set is live", async () => (await victim.call("GET", PAY)).status === 200);
  await using folder = await tempFolder();
  const of = async (path: string) => (await requestFor(folder.path, [`URI:spiffe://posthouse/${path}`])).pem;
  csr = {
    orders: await of("ns/default/service/orders"),
    pay: await of("ns/default/service/pay"),
    other: await of("agent/host-b"),
  };
});
afterAll(() => control?.[Symbol.asyncDispose]());

type Attempt = readonly [what: string, method: string, url: string, body?: unknown];

/** Attempts by the code of their refusal. Those of the first group name the action and the resource. */
const FORBIDDEN: readonly Attempt[] = [
  ["read another app's config", "GET", PAY],
  ["read one key of it", "GET", `${PAY}/keys/password`],
  ["read an earlier release of it", "GET", `${PAY}/releases/1`],
  ["watch it", "GET", "/v1/watch/config?namespace=default&app=pay&profile=default"],
  ["read it as a flag set", "POST", "/v1/flags/default/pay/default/ofrep/v1/evaluate/flags", {}],
  ["compare with it", "GET", `${PAY}/diff?toApp=orders`],
  ["reveal its secret", "POST", `${PAY}/reveal`, { key: "password", reason: "curious" }],
  [
    "reveal its own app's secret, which is for people",
    "POST",
    `${ORDERS}/reveal`,
    { key: "password", reason: "curious" },
  ],
  ["read another namespace", "GET", "/v1/config/prod/orders/default"],
  ["register another service", "PUT", "/v1/services/pay/instances/two", HERE],
  ["replace an instance", "PUT", ONE, { ...HERE, port: 6666 }],
  ["deregister an instance", "DELETE", ONE],
  ["drain an instance", "PUT", `${ONE}/lifecycle`, { lifecycle: "draining" }],
  ["weigh an instance", "PUT", `${ONE}/weight`, { weight: 0 }],
  ["fail its check", "PUT", `${ONE}/checks/up`, { status: "critical" }],
  [
    "register through a batch",
    "POST",
    "/v1/batches",
    { instances: [{ service: "pay", id: "two", registration: HERE }] },
  ],
  ["set the policy of a service", "PUT", "/v1/services/pay/policy", { fallback: "orders" }],
  ["break a lock", "POST", "/v1/locks/pay-leader/break", { reason: "mine" }],
  ["acknowledge for another app", "PUT", `${PAY}/acknowledgements/pay-1`, { releaseKey: "k", outcome: "failed" }],
  ["publish", "POST", `${ORDERS}/releases`, { items: {} }],
  ["draft", "PUT", `${ORDERS}/drafts/plain`, { format: "text", value: "x" }],
  ["lift the review", "PUT", "/v1/config/default/rules", { review: "off" }],
  ["list tokens", "GET", "/v1/tokens"],
  ["issue a token", "POST", "/v1/tokens", { name: "mine", policies: ["operator"] }],
  ["change the rules of its policy", "PUT", "/v1/policies/agent", { rules: [{ effect: "allow", actions: ["*"] }] }],
  ["bind a group", "PUT", "/v1/bindings/group:all", { policies: ["operator"] }],
  ["list who is signed in", "GET", "/v1/sign-ins"],
  ["see refusals of others", "GET", "/v1/acl/denials"],
  ["ask what others may do", "GET", "/v1/acl/check?action=config:read&policies=operator"],
  ["list certificates", "GET", "/v1/certificates"],
  ["let another node join", "POST", "/v1/join-tokens", { kind: "agent" }],
  ["remove a node", "DELETE", "/v1/nodes/agent/host-b"],
  ["rotate the authority", "POST", "/v1/authority/rotations", { part: "root" }],
  ["delegate what it does not have: an app", "POST", "/v1/service-tokens", { ttlSeconds: 60, apps: ["pay"] }],
  ["delegate what it does not have: every app", "POST", "/v1/service-tokens", { ttlSeconds: 60, apps: ["*"] }],
  ["delegate what it does not have: a service", "POST", "/v1/service-tokens", { ttlSeconds: 60, services: ["pay"] }],
  [
    "delegate what it does not have: a namespace",
    "POST",
    "/v1/service-tokens",
    { ttlSeconds: 60, namespaces: ["prod"] },
  ],
];

test.each(FORBIDDEN.map((attempt) => ({ what: attempt[0], attempt })))("it cannot $what", async ({ attempt }) => {
  const [, method, url, body] = attempt;
  const { status, json } = await rogue.call(method, url, body);
  expect({ status, code: json["code"] }).toEqual({ status: 403, code: "HTTP_FORBIDDEN" });
  const detail = String(json["detail"]);
  expect(detail).toContain('"host-a"');
  // Which action on which resource, and which limit or missing rule: what a person needs to act.
  expect(detail).toMatch(/limited to the (apps|services|namespaces) |not allowed [a-z]+:[a-z]+/);
  expect(JSON.stringify(json)).not.toContain(CANARY);
});

test("neither an instance, a session, a lock nor an acknowledgement of another host is reached through a copied id", async () => {
  const own = (over: object) => ({ ...HERE, session, ...over });
  const attempts: readonly (readonly [Awaited<ReturnType<AnyCall>>, string])[] = [
    [await rogue.call("PUT", `/v1/sessions/${session}/heartbeat`), "SESSION_NOT_FOUND"],
    [await rogue.call("DELETE", `/v1/sessions/${session}`), "SESSION_NOT_FOUND"],
    [await rogue.call("PUT", "/v1/services/orders/instances/mine", own({})), "SESSION_NOT_FOUND"],
    [await rogue.call("PUT", "/v1/locks/pay-leader", { session }), "SESSION_NOT_FOUND"],
    [await rogue.call("DELETE", `/v1/locks/pay-leader?session=${session}`), "SESSION_NOT_FOUND"],
    [
      await rogue.call("PUT", `${ORDERS}/acknowledgements/orders-1`, { releaseKey: "k", outcome: "applied", session }),
      "SESSION_NOT_FOUND",
    ],
  ];
  for (const [{ status, json }, code] of attempts) {
    expect([status, String(json["code"]).replace(/^[A-Z]+_/, "")]).toEqual([404, code]);
  }
  // A session of its own waits its turn for the lock.
  const mine = String((await rogue.call("POST", "/v1/sessions", { ttlSeconds: 60 })).json["id"]);
  expect((await rogue.call("PUT", "/v1/locks/pay-leader", { session: mine })).json).toMatchObject({ acquired: false });
});

test("lists show only what it may see, whatever it filters by", async () => {
  const { sets } = (await rogue.call("GET", "/v1/config")).json as { sets: { app: string }[] };
  expect(sets.map(({ app }) => app)).toEqual(["orders"]);
  for (const url of [
    "/v1/config-search?text=pay",
    "/v1/config-search?text=password",
    "/v1/changes",
    "/v1/config?app=pay",
  ]) {
    const { json } = await rogue.call("GET", url);
    const text = JSON.stringify(json);
    expect(text).not.toContain(CANARY);
    expect(text, url).not.toMatch(/"app":"pay"/);
  }
});

test("it gets certificates for its own services only", async () => {
  const ask = async (request: string, more: object = {}) => {
    const { status, json } = await rogue.call("POST", "/v1/certificates", { csr: request, ...more });
    return [status, json["code"]];
  };
  expect(await ask(csr.orders)).toEqual([201, undefined]);
  expect(await ask(csr.pay)).toEqual([403, "IDENTITY_NAME_NOT_ALLOWED"]);
  expect(await ask(csr.other)).toEqual([403, "IDENTITY_NAME_NOT_ALLOWED"]);
  expect((await ask(csr.orders, { dns: ["control.example"] }))[0]).toBe(403);
});

test("a delegated token has its limits, not more, and cannot delegate again", async () => {
  const { status, json } = await rogue.call("POST", "/v1/service-tokens", {
    ttlSeconds: 60,
    name: "orders",
    apps: ["orders"],
  });
  expect(status).toBe(201);
  const service = await callerWith(control, json);
  expect((await service.call("GET", ORDERS)).status).toBe(200);
  expect((await service.call("GET", PAY)).json["code"]).toBe("HTTP_FORBIDDEN");
  expect((await service.call("PUT", "/v1/services/pay/instances/two", HERE)).json["code"]).toBe("HTTP_FORBIDDEN");
  expect((await service.call("POST", "/v1/service-tokens", { ttlSeconds: 60 })).json["code"]).toBe("HTTP_FORBIDDEN");
});

test("its own rights still work, and nothing of the other host has changed", async () => {
  const own = (await rogue.call("GET", ORDERS)).json as { items: Record<string, { value: string }> };
  expect(own.items["password"]?.value).toBe(`${CANARY}-orders`);
  expect((await rogue.call("PUT", "/v1/services/orders/instances/own", HERE)).status).toBe(201);
  expect((await control.call("GET", ONE)).json).toMatchObject({
    port: 80,
    lifecycle: "serving",
    registeredBy: "agent:host-b",
  });
  expect((await control.call("GET", "/v1/locks/pay-leader")).json).toMatchObject({ holder: { session } });
  const pay = (await victim.call("GET", PAY)).json as { items: Record<string, { value: string }> };
  expect(pay.items["password"]?.value).toBe(`${CANARY}-pay`);
  const masked = (await control.call("GET", PAY)).json as { items: Record<string, { value: string }> };
  expect(masked.items["password"]?.value).toBe(MASK);
  const { subscribers } = (await control.call("GET", `${PAY}/acknowledgements`)).json as {
    subscribers: { outcome: string }[];
  };
  expect(subscribers.map(({ outcome }) => outcome)).toEqual(["applied"]);
  const tokens = (await control.call("GET", "/v1/tokens")).json["tokens"] as { name: string }[];
  expect(tokens.map(({ name }) => name).toSorted()).toEqual(["host-a", "host-b", "operator"]);
});
