/** An instance deregistered at the server stays away, whatever its agent repeats; and a drain from the host. */
import { expect, test } from "vitest";
import { createAgent } from "#agent";
import { Client, injectTransport } from "#client";
import { eventually, tempFolder, type TestControl, testHost, withControl, hangSignal } from "#test/kit";
import { callHttp, settingsIn } from "./agent-kit.ts";

const ONE = { namespace: "default", service: "web", id: "one" };
/** Seconds between full syncs in these tests; a ghost would be back within two. */
const FULL_SYNC_MS = 1_000;

async function agentOn(control: TestControl, folder: string) {
  const settings = await settingsIn(folder, { leaveOnStop: false });
  const agent = await createAgent(testHost(), { client: control.client, settings });
  const { socket = "" } = await agent.listen();
  await agent.ready(hangSignal());
  return Object.assign(agent, {
    call: (method: string, path: string, body?: unknown) => callHttp(socket, method, `/v1/agent/${path}`, body),
  });
}

const there = async ({ client }: TestControl) =>
  client.registry.instances(ONE).then(
    ({ instances }) => instances.length > 0,
    () => false,
  );

test("an instance deregistered at the server is not brought back by its agent, not even after a restart", async () => {
  await using folder = await tempFolder();
  await using control = await withControl();
  {
    await using agent = await agentOn(control, folder.path);
    await agent.call("PUT", "services/one", { name: "web", port: 80 });
    await eventually("it is there", () => there(control));
    await control.client.registry.deregister(ONE);
    await eventually("the agent knows that it was taken back", async () => {
      const { body } = await agent.call("GET", "services");
      return JSON.stringify(body).includes("deregistered");
    });
    expect((await agent.call("GET", "status")).body).toMatchObject({ inSync: true });
    await new Promise((resolve) => setTimeout(resolve, 2 * FULL_SYNC_MS));
    expect(await there(control)).toBe(false);
  }
  await using agent = await agentOn(control, folder.path);
  await eventually("it learns of it again", async () =>
    JSON.stringify((await agent.call("GET", "services")).body).includes("deregistered"),
  );
  expect(await there(control)).toBe(false);
  await agent.call("PUT", "services/one", { name: "web", port: 80 });
  await eventually("it is there again after a new claim", () => there(control));
});

test(
  "an instance that the servers removed for being unhealthy too long is claimed again once it is healthy",
  { timeout: 300_000 },
  async () => {
    await using folder = await tempFolder();
    await using control = await withControl();
    await using agent = await agentOn(control, folder.path);
    const checks = [{ id: "beat", type: "ttl", ttlSeconds: 60, deregisterAfterSeconds: 10 }];
    const report = (status: string) => agent.call("PUT", "services/one/checks/beat", { status });
    await agent.call("PUT", "services/one", { name: "web", port: 80, checks });
    await report("passing");
    await eventually("it is there", () => there(control));
    await report("critical");
    await eventually("it is removed", async () => !(await there(control)));
    await new Promise((resolve) => setTimeout(resolve, 2 * FULL_SYNC_MS));
    expect(await there(control), "as long as it is unhealthy, it stays away").toBe(false);
    await report("passing");
    await eventually("it is back", () => there(control));
  },
);

test("a claim whose clock went back is taken all the same", async () => {
  await using folder = await tempFolder();
  await using control = await withControl();
  await control.client.registry.register(ONE, {
    address: "127.0.0.1",
    port: 80,
    owner: "host-a",
    incarnation: Date.now() + 3_600_000,
  });
  await control.client.registry.deregister(ONE, { owner: "host-a" });
  await using agent = await agentOn(control, folder.path);
  await agent.call("PUT", "services/one", { name: "web", port: 80 });
  await eventually("it is there", () => there(control));
});

test("an id of another host is refused, and the agent says whose it is", async () => {
  await using folder = await tempFolder();
  await using control = await withControl();
  await control.client.registry.register(ONE, { address: "127.0.0.1", port: 81, owner: "host-b", incarnation: 1 });
  await using agent = await agentOn(control, folder.path);
  await agent.call("PUT", "services/one", { name: "web", port: 80 });
  await eventually("it says so", async () =>
    JSON.stringify((await agent.call("GET", "services")).body).includes("host-b"),
  );
  expect((await control.client.registry.instances(ONE)).instances).toMatchObject([{ port: 81, owner: "host-b" }]);
});

test("a service leaves its host after a drain that the subscribers of the registry have seen", async () => {
  await using folder = await tempFolder();
  await using control = await withControl();
  await using agent = await agentOn(control, folder.path);
  await agent.call("PUT", "services/one", { name: "web", port: 80 });
  await eventually("it is there", () => there(control));
  const subscriber = new Client(control.host, {
    transport: injectTransport(control.app),
    token: control.token,
    subscriber: "gateway-1",
  });
  const abort = new AbortController();
  const lifecycles: string[] = [];
  let synced = false;
  const reading = (async () => {
    for await (const { event, data } of subscriber.registry.watch({ namespace: "default" }, { signal: abort.signal })) {
      if (event === "synced") synced = true;
      for (const { lifecycle } of data?.instances ?? []) lifecycles.push(lifecycle);
      if (data && data.removed.length > 0) lifecycles.push("removed");
    }
  })();
  await eventually("it is synced", () => synced);
  const answer = await agent.call("DELETE", "services/one?drain=30");
  expect(answer).toMatchObject({ status: 200, body: { seen: true, waitingFor: [] } });
  await eventually("it is gone", async () => !(await there(control)));
  await eventually("the subscriber has it all", () => lifecycles.at(-1) === "removed");
  expect(lifecycles).toEqual(["serving", "draining", "removed"]);
  abort.abort();
  await reading;
});
