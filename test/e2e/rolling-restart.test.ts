/**
 * A service of five is restarted one instance after the other, each drained by the command line first, while requests
 * come through two gateways without a pause: not one may fail.
 */
import { expect, test } from "vitest";
import { Agent, request } from "undici";
import {
  call,
  eventually,
  outlivesRestarts,
  startPosthouse,
  startProgram,
  startService,
  tempFolder,
  type Service,
} from "#test/kit";

const INSTANCES = 5;
const AT_ONCE = 8;

/** Sends requests to all gateways in turn until stopped; keeps every answer that was not 200. */
function load(urls: readonly string[]) {
  const agent = new Agent({ connections: AT_ONCE, pipelining: 1 });
  const failures: string[] = [];
  const servedBy = new Set<number>();
  let sent = 0;
  const stopped = new AbortController();
  const worker = async () => {
    while (!stopped.signal.aborted) {
      const url = urls[sent++ % urls.length] as string;
      try {
        // A post that an instance may have begun is never sent again, so no retry heals a request that was cut.
        const answer = await request(url, { dispatcher: agent, method: "POST", body: "x" });
        const text = await answer.body.text();
        if (answer.statusCode === 200) servedBy.add((JSON.parse(text) as { pid: number }).pid);
        else failures.push(`${url}: ${answer.statusCode} ${text}`);
      } catch (error) {
        failures.push(`${url}: ${String(error)}`);
      }
    }
  };
  const workers = Array.from({ length: AT_ONCE }, worker);
  return {
    sent: () => sent,
    servedBy,
    async stop() {
      stopped.abort();
      await Promise.all(workers);
      await agent.destroy();
      return failures;
    },
  };
}

test("a rolling restart of five instances under load loses no request", { timeout: 300_000 }, async () => {
  await using stack = new AsyncDisposableStack();
  const data = stack.use(await tempFolder());
  const posthouse = stack.use(await startPosthouse({ data: `${data.path}/one`, args: ["--probe-loopback", "true"] }));
  const { token, api } = posthouse;
  const remote = ["--control-urls", api, "--token", token ?? ""];
  const other = stack.use(await startPosthouse({ data: `${data.path}/two`, args: ["--roles", "gateway", ...remote] }));

  const path = (index: number) => `${api}/v1/services/orders/instances/i${index}`;
  const checks = [{ id: "http", type: "http", path: "/health", intervalSeconds: 0.2 }];
  const start = async (index: number): Promise<Service> => {
    const service = stack.use(await startService("orders"));
    const body = { address: "127.0.0.1", port: service.port, checks };
    expect((await call(path(index), { method: "PUT", token, body })).status).toBe(201);
    await eventually("it passes", async () => (await call(path(index), { token })).json["status"] === "passing");
    return service;
  };
  const services: Service[] = [];
  for (let index = 0; index < INSTANCES; index++) services.push(await start(index));
  const routes = [{ name: "orders", match: { path: { prefix: "/" } }, service: "orders" }];
  const items = { "gateway.yaml": { format: "yaml", value: JSON.stringify({ routes }) } };
  const releases = `${api}/v1/config/default/gateway/default/releases`;
  expect((await call(releases, { method: "POST", token, body: { items } })).status).toBe(201);
  const gateways = [posthouse.gateway, other.gateway];
  for (const url of gateways) {
    await eventually("a gateway serves", async () => (await call(`${url}/`)).status === 200);
  }
  const { json } = await call(`${api}/v1/watches`, { token });
  const subscribers = (json["watchers"] as { subscriber?: string }[]).map(({ subscriber = "" }) => subscriber);
  expect(subscribers.filter((name) => name.startsWith("gateway-"))).toHaveLength(2);

  const traffic = load(gateways);
  for (const [index, service] of services.entries()) {
    const before = traffic.sent();
    await using command = startProgram("bin/posthouse", [
      "deregister",
      "orders",
      `i${index}`,
      "--drain",
      "30",
      ...remote,
    ]);
    expect([await command.exited, command.errors()]).toEqual([{ code: 0, signal: null }, ""]);
    expect(command.output()).toContain("every subscriber had seen it drain");
    service.kill("SIGTERM");
    await service.exited;
    services[index] = await start(index);
    await eventually("requests went on meanwhile", () => traffic.sent() > before + 100);
  }
  const pids = services.map(({ child }) => child.pid as number);
  await eventually("the new ones serve", () => pids.every((pid) => traffic.servedBy.has(pid)));
  expect(await traffic.stop()).toEqual([]);
  expect(traffic.sent()).toBeGreaterThan(INSTANCES * 100);
  const allPass = async ({ api: now }: { api: string }) => {
    await eventually("all pass", async () => {
      const found = (await call(`${now}/v1/services`, { token })).json["services"];
      return JSON.stringify(found).includes(`"passing":${INSTANCES}`);
    });
    for (const url of gateways)
      await eventually("a gateway serves", async () => (await call(`${url}/`)).status === 200);
  };
  await outlivesRestarts(posthouse, allPass);
});

test("a drain that a gateway cannot see ends at its deadline, and says who had not seen it", async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({ data: `${data.path}/one` });
  const { token, api } = posthouse;
  const remote = ["--control-urls", api, "--token", token ?? ""];
  await using other = await startPosthouse({ data: `${data.path}/two`, args: ["--roles", "gateway", ...remote] });
  const path = `${api}/v1/services/orders/instances/i1`;
  expect((await call(path, { method: "PUT", token, body: { address: "127.0.0.1", port: 9 } })).status).toBe(201);
  const routes = [{ name: "orders", match: { path: { prefix: "/" } }, service: "orders" }];
  const items = { "gateway.yaml": { format: "yaml", value: JSON.stringify({ routes }) } };
  await call(`${api}/v1/config/default/gateway/default/releases`, { method: "POST", token, body: { items } });
  await eventually("both gateways watch", async () => {
    const { json } = await call(`${api}/v1/watches`, { token });
    return (json["watchers"] as unknown[]).length >= 2;
  });
  other.kill("SIGSTOP");
  try {
    await using command = startProgram("bin/posthouse", ["deregister", "orders", "i1", "--drain", "2", ...remote]);
    expect((await command.exited).code).toBe(0);
    expect(command.errors()).toMatch(/^not seen within 2 s by: gateway-[0-9a-f]+\n$/);
    expect((await call(path, { token })).status).toBe(404);
  } finally {
    other.kill("SIGCONT");
  }
});
