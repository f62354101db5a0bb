/** The shortest way through everything, for any supported Node: register, release, call, stop, start again, kill -9, start again. */
import { expect, test } from "vitest";
import { call, eventually, outlivesRestarts, startPosthouse, startService, tempFolder } from "#test/kit";

test(
  "a service registered through the agent is called through the gateway, also after a stop and a kill",
  { timeout: 300_000 },
  async () => {
    await using data = await tempFolder();
    await using posthouse = await startPosthouse({ data: data.path });
    await using service = await startService("orders");
    const { token, api, agent, agentToken } = posthouse;
    const registration = {
      name: "orders",
      port: service.port,
      checks: [{ id: "http", type: "http", path: "/health", intervalSeconds: 0.2 }],
    };
    const put = await call(`${agent}/v1/agent/services/orders-1`, {
      method: "PUT",
      token: agentToken,
      body: registration,
    });
    expect([put.status < 300, put.text]).toEqual([true, expect.any(String)]);
    const routes = { routes: [{ name: "orders", match: { path: { prefix: "/" } }, service: "orders" }] };
    const items = { "gateway.yaml": { format: "yaml", value: JSON.stringify(routes) } };
    const released = await call(`${api}/v1/config/default/gateway/default/releases`, {
      method: "POST",
      token,
      body: { items },
    });
    expect(released.status).toBe(201);
    // The same service at a port of posthouse itself would make its local API everybody's.
    for (const url of [agent, api]) {
      const body = { name: "own", port: Number(new URL(url).port) };
      const own = await call(`${agent}/v1/agent/services/own-${body.port}`, { method: "PUT", token: agentToken, body });
      expect(own.status).toBeLessThan(300);
    }
    const own = { routes: [...routes.routes, { name: "own", match: { path: { prefix: "/v1" } }, service: "own" }] };
    const more = { "gateway.yaml": { format: "yaml", value: JSON.stringify(own) } };
    await call(`${api}/v1/config/default/gateway/default/releases`, { method: "POST", token, body: { items: more } });
    const refused = await eventually("the route", async () => {
      const one = await call(`${posthouse.gateway}/v1/agent/services`);
      return one.text.includes("2 at a port of posthouse itself") ? one : undefined;
    });
    expect(refused.status).toBe(503);
    await outlivesRestarts(posthouse, async ({ gateway }) => {
      const answer = await eventually("the call", async () => {
        const one = await call(`${gateway}/hello`);
        return one.status === 200 ? one : undefined;
      });
      expect(answer.json).toMatchObject({ service: "orders", path: "/hello" });
    });
  },
);
