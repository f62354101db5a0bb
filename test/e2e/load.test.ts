/** Thousands of requests through a real gateway while endpoints are drained, routes change and the control plane dies: none may fail. */
import { expect, test } from "vitest";
import { Agent, request } from "undici";
import {
  call,
  eventually,
  freePort,
  outlivesRestarts,
  restartBySigterm,
  startPosthouse,
  startService,
  tempFolder,
  type Posthouse,
} from "#test/kit";

const REQUESTS = 6_000;
const AT_ONCE = 32;

/** Sends all requests; every answer but 200 is kept with its body. */
async function load(url: () => string, during: (sent: () => number) => Promise<void>): Promise<string[]> {
  const agent = new Agent({ connections: AT_ONCE, pipelining: 1 });
  const failures: string[] = [];
  let sent = 0;
  const worker = async () => {
    while (sent < REQUESTS) {
      sent++;
      try {
        const answer = await request(url(), { dispatcher: agent });
        const text = await answer.body.text();
        if (answer.statusCode !== 200) failures.push(`${answer.statusCode} ${text}`);
      } catch (error) {
        failures.push(String(error));
      }
    }
  };
  await Promise.all([...Array.from({ length: AT_ONCE }, worker), during(() => sent)]);
  await agent.destroy();
  return failures;
}

const routeWorks = ({ gateway }: Posthouse) =>
  eventually("the route", async () => (await call(`${gateway}/orders`)).status === 200);

async function setUp() {
  const stack = new AsyncDisposableStack();
  const data = stack.use(await tempFolder());
  const posthouse = stack.use(await startPosthouse({ data: data.path }));
  const services = [];
  for (let i = 0; i < 3; i++) services.push(stack.use(await startService("orders")));
  const { token, api } = posthouse;
  const instance = (id: number) => `${api}/v1/services/orders/instances/i${id}`;
  for (const [id, { port }] of services.entries()) {
    const body = { address: "127.0.0.1", port };
    expect((await call(instance(id), { method: "PUT", token, body })).status).toBe(201);
  }
  const publish = async (routes: object[]) => {
    const items = { "gateway.yaml": { format: "yaml", value: JSON.stringify({ routes }) } };
    const url = `${api}/v1/config/default/gateway/default/releases`;
    const { status, text } = await call(url, { method: "POST", token, body: { items } });
    expect([status, text]).toEqual([201, expect.any(String)]);
  };
  await publish([{ name: "orders", match: { path: { prefix: "/orders" } }, service: "orders" }]);
  await routeWorks(posthouse);
  return { stack, posthouse, services, token, instance, publish };
}

test("no request fails while instances are drained, stopped and replaced", { timeout: 300_000 }, async () => {
  const { stack, posthouse, services, token, instance } = await setUp();
  await using _ = stack;
  let rounds = 0;
  const failures = await load(
    () => `${posthouse.gateway}/orders/${rounds}`,
    async (sent) => {
      while (sent() < REQUESTS - 500) {
        const id = rounds % services.length;
        const old = services[id];
        if (!old) throw new Error("no such service");
        await call(`${instance(id)}/lifecycle`, { method: "PUT", token, body: { lifecycle: "draining" } });
        await new Promise((resolve) => setTimeout(resolve, 100));
        old.kill("SIGTERM");
        await old.exited;
        const next = stack.use(await startService("orders"));
        services[id] = next;
        const body = { address: "127.0.0.1", port: next.port, lifecycle: "serving" };
        expect((await call(instance(id), { method: "PUT", token, body })).status).toBe(200);
        rounds++;
      }
    },
  );
  expect(failures).toEqual([]);
  expect(rounds).toBeGreaterThan(2);
  await outlivesRestarts(posthouse, routeWorks);
});

test("no request fails while route releases change under load", { timeout: 300_000 }, async () => {
  const { stack, posthouse, publish } = await setUp();
  await using _ = stack;
  let releases = 0;
  const failures = await load(
    () => `${posthouse.gateway}/orders/${releases}`,
    async (sent) => {
      while (sent() < REQUESTS - 200) {
        releases++;
        await publish([
          { name: "orders", match: { path: { prefix: "/orders" } }, service: "orders" },
          ...Array.from({ length: releases % 50 }, (_, i) => ({
            name: `other-${i}`,
            match: { path: { prefix: `/other-${releases}-${i}` } },
            service: "orders",
          })),
        ]);
      }
    },
  );
  expect(failures).toEqual([]);
  expect(releases).toBeGreaterThan(10);
  await outlivesRestarts(posthouse, routeWorks);
});

test(
  "no request fails while the control plane is killed, stays away and comes back",
  { timeout: 300_000 },
  async () => {
    await using stack = new AsyncDisposableStack();
    const [data, gatewayData] = [stack.use(await tempFolder()), stack.use(await tempFolder())];
    const port = String(await freePort());
    const control = () =>
      startPosthouse({ data: data.path, args: ["--roles", "registry", "config-server", "--port", port] });
    const first = stack.use(await control());
    const { api, token = "" } = first;
    const service = stack.use(await startService("orders"));
    const body = { address: "127.0.0.1", port: service.port };
    await call(`${api}/v1/services/orders/instances/i1`, { method: "PUT", token, body });
    const publish = async (names: string[]) => {
      const routes = names.map((name) => ({ name, match: { path: { prefix: `/${name}` } }, service: "orders" }));
      const items = { "gateway.yaml": { format: "json", value: JSON.stringify({ routes }) } };
      const url = `${api}/v1/config/default/gateway/default/releases`;
      expect((await call(url, { method: "POST", token, body: { items } })).status).toBe(201);
    };
    await publish(["orders"]);
    const args = ["--roles", "gateway", "--control-urls", api, "--token", token];
    const gateway = stack.use(await startPosthouse({ data: gatewayData.path, args }));
    await eventually("the route", async () => (await call(`${gateway.gateway}/orders`)).status === 200);
    let came = false;
    const failures = await load(
      () => `${gateway.gateway}/orders`,
      async (sent) => {
        await eventually("the load runs", () => sent() > 500);
        first.kill("SIGKILL");
        await first.exited;
        const away = sent();
        await eventually("requests go on without it", () => sent() > away + 2_000);
        const second = stack.use(await control());
        await publish(["orders", "later"]);
        await eventually(
          "the release made meanwhile arrives",
          async () => (await call(`${gateway.gateway}/later`)).status === 200,
        );
        // A stop is as harmless as the kill.
        stack.use(await restartBySigterm(second));
        await publish(["orders", "later", "last"]);
        await eventually(
          "the release made after the stop arrives",
          async () => (await call(`${gateway.gateway}/last`)).status === 200,
        );
        came = true;
      },
    );
    expect(failures).toEqual([]);
    expect(came).toBe(true);
    await outlivesRestarts(gateway, routeWorks);
  },
);
