/** Listing the routes of a config, and checking a config before its release. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import type { GatewayCheckAnswer, RouteList } from "#gateway/api";
import { withControl } from "#test/kit";
import { withExplainer } from "./explain-kit.ts";

const CONFIG = `# The shop's gateway.
jwt:
  - name: idp
    issuer: https://id.example.com
    audience: [shop]
    algorithms: [RS256]
    jwks: { url: "https://id.example.com/jwks" }
clusters:
  - { name: fixed, endpoints: [{ address: 127.0.0.1, port: 9 }] }
routes:
  - name: all
    match: { path: { prefix: / } }
    service: shop

  - name: orders
    # The busiest one.
    match: { path: { prefix: /orders } }
    service: orders
    jwt: { provider: idp }
  - name: never
    match: { path: { prefix: /orders/old } }
    cluster: fixed
    priority: -1
hints:
  - { service: cart, within: [/cart] }
`;

async function controlPlane() {
  const control = await withControl(withExplainer());
  const call = async <Data>(token: string, path: string, payload?: object) => {
    const { status, json } = await control.call(payload ? "POST" : "GET", path, payload, {
      authorization: `Bearer ${token}`,
    });
    return { status, json: json as Data };
  };
  const { client, token: operator } = control;
  return { call, client, operator, [Symbol.asyncDispose]: () => control[Symbol.asyncDispose]() };
}
type Plane = Awaited<ReturnType<typeof controlPlane>>;

const release = ({ client }: Plane, value: string) =>
  client.config.publish(
    { namespace: "default", app: "gateway", profile: "default" },
    { items: { "gateway.yaml": { format: "yaml", value } } },
  );

test("routes are listed in the order of their comparison, with lines, targets and shadows", async () => {
  await using plane = await controlPlane();
  const none = await plane.call<RouteList>(plane.operator, "/v1/gateway/routes");
  expect(none.json).toMatchObject({ namespace: "default", routes: [], problems: [] });
  await release(plane, CONFIG);
  await plane.call(plane.operator, "/v1/services");
  await plane.client.registry.setPolicy(
    { namespace: "default", service: "cart" },
    { gateway: { pathPrefixes: ["/cart", "/elsewhere"] } },
  );
  await plane.client.registry.register(
    { namespace: "default", service: "cart", id: "a" },
    { address: "127.0.0.1", port: 1 },
  );
  const { json } = await plane.call<RouteList>(plane.operator, "/v1/gateway/routes?namespace=default");
  expect(json.routes.map(({ name, line, lastLine }) => [name, line, lastLine])).toEqual([
    ["orders", 15, 19],
    ["all", 11, 13],
    ["never", 20, 23],
    ["hint:cart:/cart", undefined, undefined],
  ]);
  const [orders, , never, cart] = json.routes;
  expect(orders).toMatchObject({
    hinted: false,
    config: { service: "orders", jwt: { provider: "idp" } },
    targets: [{ cluster: "service:orders", service: "orders", namespace: "default", weight: 1 }],
  });
  expect(never).toMatchObject({ shadowedBy: "all", targets: [{ cluster: "cluster:fixed", weight: 1 }] });
  expect(never?.targets[0]).not.toHaveProperty("service");
  expect(cart).toMatchObject({ hinted: true, config: { match: { path: { prefix: "/cart" } } } });
  expect(json).toMatchObject({ providers: ["idp"], hintedServices: ["cart"] });
  expect(json.warnings).toEqual([
    expect.objectContaining({ pointer: "/routes/2/match", line: 21 }),
    expect.objectContaining({ message: expect.stringContaining("outside the prefixes") }),
  ]);
});

test("a config is checked without a release, and a request explained by it", async () => {
  await using plane = await controlPlane();
  await release(plane, CONFIG);
  const check = (config: string, request?: object) =>
    plane.call<GatewayCheckAnswer>(plane.operator, "/v1/gateway/check", { config, ...(request ? { request } : {}) });
  const bad = await check(CONFIG.replace("service: shop", "servce: shop"), { url: "http://a/" });
  expect(bad.json).toMatchObject({ routes: [], problems: [{ line: 13, message: expect.stringContaining("servce") }] });
  expect(bad.json).not.toHaveProperty("explanation");
  expect((await check("# nothing\n")).json.problems[0]?.message).toContain("The config is empty");
  const draft = CONFIG.replace("/orders } }", "/orders-2 } }");
  const good = await check(draft, { url: "http://a/orders-2/x" });
  expect(good.json.explanation).toMatchObject({ releaseKey: "draft", outcome: { kind: "refuse", route: "orders" } });
  const live = await plane.client.gateway.explain({ url: "http://a/orders-2/x" });
  expect(live.outcome.route).toBe("all");
});

test("the schema for editors contains the filters of the server", async () => {
  await using plane = await controlPlane();
  const { json } = await plane.call<object>(plane.operator, "/v1/gateway/schema");
  expect(json).toMatchObject({ properties: { routes: { type: "array" } } });
  expect(JSON.stringify(json)).toContain('"const":"ip-restriction"');
});

test("checking a config is for principals that may draft", async () => {
  await using plane = await controlPlane();
  for (const [role, status] of [
    ["viewer", 403],
    ["editor", 200],
  ] as const) {
    const { token } = await plane.client.access.issueToken({ name: role, policies: [role] });
    expect((await plane.call(token, "/v1/gateway/check", { config: CONFIG })).status).toBe(status);
    expect((await plane.call(token, "/v1/gateway/routes")).status).toBe(200);
  }
});

test("no draft makes the server fetch keys from an address that is not released", async () => {
  await using plane = await controlPlane();
  let fetched = 0;
  const keys = createServer((_request, response) => {
    fetched++;
    response.end('{"keys":[]}');
  });
  await new Promise<void>((resolve) => keys.listen(0, "127.0.0.1", resolve));
  try {
    const url = `http://127.0.0.1:${(keys.address() as AddressInfo).port}/jwks`;
    const config = CONFIG.replace("https://id.example.com/jwks", url);
    const header = Buffer.from('{"alg":"RS256","kid":"a"}').toString("base64url");
    const token = `${header}.${Buffer.from("{}").toString("base64url")}.AAAA`;
    const request = { url: "http://a/orders/1", headers: [{ name: "authorization", value: `Bearer ${token}` }] };
    const check = () => plane.call<GatewayCheckAnswer>(plane.operator, "/v1/gateway/check", { config, request });
    const draft = await check();
    expect(draft.json.problems).toEqual([]);
    expect(draft.json.explanation?.outcome).toMatchObject({ kind: "refuse", code: "GATEWAY_KEYS_UNAVAILABLE" });
    expect(fetched).toBe(0);
    await release(plane, config);
    await check();
    expect(fetched).toBeGreaterThan(0);
  } finally {
    keys.close();
  }
});
