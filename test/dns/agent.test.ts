/** DNS of an agent on its own: it follows a namespace, and goes on answering while the server is away. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { TaskGroup } from "#base";
import { WatchedCatalog } from "#dns";
import type { Frame } from "#http/frames";
import type { ServiceDelta } from "#registry/api";
import { call, eventually, freePort, startPosthouse, tempFolder, testHost, watchFeed, withControl } from "#test/kit";
import { instance } from "../gateway/kit.ts";
import { ask, testDns } from "./kit.ts";

test("a flip of health is in the next answer, within milliseconds", async () => {
  await using control = await withControl();
  const catalog = new WatchedCatalog(control.host, control.client, "default");
  await using tasks = new TaskGroup(control.host.log);
  tasks.run("catalog", (signal) => catalog.run(signal));
  await using dns = await testDns(catalog);
  const checks = [{ id: "ttl", type: "ttl" as const, ttlSeconds: 600 }];
  const name = { namespace: "default", service: "orders", id: "one" };
  await control.client.registry.register(name, { address: "10.0.0.1", port: 1, checks });
  await control.client.registry.register({ ...name, id: "two" }, { address: "10.0.0.2", port: 1 });
  const named = async () => (await ask(dns.port, "orders.service.posthouse")).data.map(String).toSorted().join();
  const took: number[] = [];
  const reaches = async (change: Promise<unknown>, wanted: string) => {
    const began = performance.now();
    await change;
    while ((await named()) !== wanted) expect(performance.now() - began).toBeLessThan(5_000);
    took.push(performance.now() - began);
  };
  for (let i = 0; i < 20; i++) {
    await reaches(control.client.registry.report(name, "ttl", { status: "passing" }), "10.0.0.1,10.0.0.2");
    await reaches(control.client.registry.report(name, "ttl", { status: "critical" }), "10.0.0.2");
  }
  // By the watch, and not at the next full check.
  expect(took.toSorted((a, b) => a - b)[20]).toBeLessThan(1_000);
  await reaches(control.client.registry.setLifecycle({ ...name, id: "two" }, { lifecycle: "draining" }), "");
  await reaches(control.client.registry.deregister({ ...name, id: "two" }), "");
  await reaches(control.client.registry.deregister(name), "");
  expect((await ask(dns.port, "orders.service.posthouse")).rcode).toBe("NXDOMAIN");
  expect((await ask(dns.port, "orders.service.staging.ns.posthouse")).rcode).toBe("REFUSED");
});

test("beside what a cold server says DNS answers with what it knew, until the server is warm", async () => {
  const orders = (...addresses: string[]): Frame<ServiceDelta> => ({
    event: "snapshot",
    revision: 1,
    data: {
      namespace: "default",
      service: "orders",
      instances: addresses.map((address) => instance(1, { id: address, address })),
      removed: [],
      panic: false,
    },
  });
  const { registry, hear } = watchFeed(orders("10.0.0.1", "10.0.0.2"), { event: "synced", revision: 1 });
  const host = testHost();
  const catalog = new WatchedCatalog(host, { registry }, "default");
  await using tasks = new TaskGroup(host.log);
  tasks.run("catalog", (signal) => catalog.run(signal));
  await using dns = await testDns(catalog);
  const named = async () => (await ask(dns.port, "orders.service.posthouse")).data.map(String).toSorted().join();
  await eventually("it is known", async () => (await named()) === "10.0.0.1,10.0.0.2");
  hear({ event: "reset", revision: 2 }, orders("10.0.0.3"), { event: "synced", revision: 2, cold: true });
  await eventually("it is held", async () => (await named()) === "10.0.0.1,10.0.0.2,10.0.0.3");
  hear({ event: "delta", revision: 3, data: { ...orders().data, removed: ["10.0.0.2"] } as ServiceDelta });
  await eventually("a removal applies at once", async () => (await named()) === "10.0.0.1,10.0.0.3");
  hear({ event: "heartbeat", revision: 4 });
  await eventually("the server is warm", async () => (await named()) === "10.0.0.3");
});

test("an agent's DNS answers while the server is down, and follows it again when it is back", async () => {
  await using folder = await tempFolder();
  const port = String(await freePort());
  const server = { data: join(folder.path, "server"), args: ["--roles", "registry", "config-server", "--port", port] };
  const api = `http://127.0.0.1:${port}`;
  await using first = await startPosthouse(server);
  const token = first.token as string;
  await using agent = await startPosthouse({
    data: join(folder.path, "agent"),
    args: ["--roles", "agent", "--control-urls", api, "--token", token],
  });
  const dnsPort = Number(agent.dns.split(":")[1]);
  const put = (id: string, address: string) =>
    call(`${api}/v1/services/orders/instances/${id}`, { method: "PUT", token, body: { address, port: 4001 } });
  const named = async () => (await ask(dnsPort, "orders.service.posthouse")).data.map(String).toSorted().join();
  await put("one", "10.0.0.1");
  await eventually("the agent knows it", async () => (await named()) === "10.0.0.1");
  first.kill();
  await first.exited;
  for (let i = 0; i < 50; i++) expect(await named()).toBe("10.0.0.1");
  await using second = await startPosthouse(server);
  await put("two", "10.0.0.2");
  await eventually("the agent follows again", async () => (await named()) === "10.0.0.1,10.0.0.2");
  // The server answers the same from its own catalog.
  expect((await ask(Number(second.dns.split(":")[1]), "orders.service.posthouse")).data).toHaveLength(2);
});
