/** Traffic: reports of gateways and clients, the hour that members remember, and the requests of a real gateway. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import type { TrafficView } from "#traffic/api";
import { call, eventually, startPosthouse, tempFolder, type TestControl, testHost, withControl } from "#test/kit";
import { openMemoryStore } from "#store";

async function tokenOf(control: TestControl, request: object): Promise<Record<string, string>> {
  const { json } = await control.call("POST", "/v1/tokens", request);
  const headers = { authorization: `Bearer ${String(json["token"])}` };
  await eventually("the token is known", async () => {
    return (await control.call("GET", "/v1/traffic", undefined, headers)).status === 200;
  });
  return headers;
}

async function viewOf(control: TestControl, query = ""): Promise<TrafficView> {
  const { json } = await control.call("GET", `/v1/traffic${query}`);
  return json as unknown as TrafficView;
}

test("reports of two gateways at two members are added, on both members", async () => {
  const host = testHost();
  await using store = openMemoryStore(host);
  await using one = await withControl({ host, store });
  await using two = await withControl({ host: testHost({ seed: 2 }), store });
  const counts = { requests: 10, errors: 1, latencyMs: 150, buckets: [0, 0, 0, 0, 10] };
  for (const [control, reporter] of [
    [one, "a"],
    [two, "b"],
  ] as const) {
    const edges = [{ to: "orders", instance: "o1", ...counts, inFlight: 2 }];
    const body = { reporter, routes: [{ route: "shop", ...counts }], edges };
    expect((await control.call("POST", "/v1/traffic", body)).status).toBe(204);
  }
  // Over the whole hour, because a busy machine may read later than the present rate lasts.
  for (const control of [one, two]) {
    await eventually("both are counted", async () => {
      const [edge] = (await viewOf(control)).edges;
      return edge !== undefined && Math.round(edge.rps * 3600) >= 20;
    });
    const { edges } = await viewOf(control, "?service=orders");
    expect(edges).toMatchObject([{ fromKind: "gateway", from: "gateway", to: "orders", mean: 15 }]);
    expect(edges[0]?.p99).toBeGreaterThan(10);
    expect(edges[0]?.p99).toBeLessThanOrEqual(20);
    expect(edges[0]?.instances).toMatchObject([{ instance: "o1", mean: 15 }]);
    await eventually("a whole point is shown", async () => (await viewOf(control)).routes[0]?.route === "shop");
  }
});

test("a client reports edges of its own service only, and no routes", async () => {
  await using control = await withControl();
  const agent = await tokenOf(control, { name: "host", policies: ["agent"], services: ["cart"] });
  const gateway = await tokenOf(control, { name: "edge", policies: ["gateway"] });
  const send = async (headers: Record<string, string>, body: object) =>
    (await control.call("POST", "/v1/traffic", { reporter: "p1", ...body }, headers)).json["code"] ?? "taken";
  expect(await send(agent, { edges: [{ from: "cart", to: "orders", requests: 3 }] })).toBe("taken");
  expect(await send(agent, { edges: [{ from: "other", to: "orders", requests: 3 }] })).toBe("TRAFFIC_NOT_OWN");
  expect(await send(agent, { edges: [{ to: "orders", requests: 3 }] })).toBe("TRAFFIC_NOT_OWN");
  expect(await send(agent, { routes: [{ route: "shop", requests: 3 }] })).toBe("TRAFFIC_NOT_OWN");
  expect(await send(gateway, { edges: [{ from: "cart", to: "orders", requests: 3 }] })).toBe("TRAFFIC_NOT_OWN");
  await eventually("the edge is shown", async () => (await viewOf(control)).edges.length === 1);
  expect((await viewOf(control)).edges).toMatchObject([{ fromKind: "service", from: "cart", to: "orders" }]);
});

test("without traffic a member writes nothing", async () => {
  await using control = await withControl();
  await control.call("POST", "/v1/traffic", { reporter: "p", edges: [{ from: "cart", to: "orders", requests: 3 }] });
  await eventually("it is written", async () => (await control.store.range({ prefix: "/traffic/" })).count === 1);
  const version = async () => (await control.store.range({ prefix: "/traffic/" })).entries[0]?.version;
  expect(await version()).toBe(1);
  // The presence of the member is noted after three seconds, so the writer of traffic has had a turn by then.
  await eventually("a turn has passed", async () => (await control.store.range({ prefix: "/changes/log/" })).count > 0);
  expect(await version()).toBe(1);
});

for (const workers of [1, 2]) {
  test(`requests through a gateway with ${workers} workers are shown by route, service and instance`, async () => {
    await using folder = await tempFolder();
    const service = createServer((request, response) => {
      response.statusCode = request.url === "/fail" ? 503 : 200;
      response.end("ok");
    });
    await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
    await using stack = new AsyncDisposableStack();
    stack.defer(() => new Promise<void>((resolve) => service.close(() => resolve())));
    const { port } = service.address() as AddressInfo;
    await using posthouse = await startPosthouse({
      data: folder.path,
      args: ["--gateway-workers", String(workers)],
    });
    const { token, api, gateway } = posthouse;
    await call(`${api}/v1/services/echo/instances/e1`, {
      method: "PUT",
      token,
      body: { address: "127.0.0.1", port, checks: [] },
    });
    const routes = "routes:\n  - name: all\n    match: { path: { prefix: / } }\n    service: echo\n";
    await call(`${api}/v1/config/default/gateway/default/releases`, {
      method: "POST",
      token,
      body: { items: { "gateway.yaml": { format: "yaml", value: routes } } },
    });
    await eventually("the route answers", async () => (await call(`${gateway}/`)).status === 200);
    for (let index = 0; index < 9; index++) await call(`${gateway}/`);
    await call(`${gateway}/fail`);
    const shown = async () => (await call(`${api}/v1/traffic?service=echo`, { token })).json as unknown as TrafficView;
    await eventually("all are counted", async () => {
      const edge = (await shown()).edges[0];
      return edge !== undefined && Math.round(edge.rps * 3600) >= 11 && edge.errors > 0;
    });
    const { edges } = await shown();
    expect(edges).toMatchObject([{ from: "gateway", to: "echo", instances: [{ instance: "e1" }] }]);
    expect(Math.round((edges[0]?.errors ?? 0) * 3600)).toBe(1);
  });
}
