/** An agent at the real control API: both ends mean the same by every call. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createAgent, type AgentSettings } from "#agent";
import { eventually, tempFolder, testHost, withControl } from "#test/kit";
import { callHttp, settingsIn, startService } from "./agent-kit.ts";

async function setUp(folder: string, changes: Partial<AgentSettings> = {}) {
  const stack = new AsyncDisposableStack();
  const control = stack.use(await withControl());
  const settings = await settingsIn(folder, { sessionTtlSeconds: 30, ...changes });
  const agent = stack.use(await createAgent(testHost(), { client: control.client, settings }));
  const { port } = await agent.listen();
  await agent.ready(AbortSignal.timeout(5_000));
  const put = (path: string, body: unknown) => callHttp(port, "PUT", `/v1/agent/${path}`, body);
  const get = (path: string) => callHttp<Record<string, unknown>>(port, "GET", `/v1/agent/${path}`);
  const first = async (service = "web") => {
    const { instances } = await control.client.registry.instances({ namespace: "default", service });
    return instances[0];
  };
  return { stack, control, agent, put, get, first };
}

test("a service registered at the agent is seen at the server with its health, and goes with the agent", async () => {
  await using folder = await tempFolder();
  await using service = await startService();
  const { stack, control, agent, put, get, first } = await setUp(folder.path);
  {
    await using _ = stack.move();
    const checks = [
      { id: "up", type: "http", path: "/", intervalSeconds: 0.1, fall: 2 },
      { id: "beat", type: "ttl", ttlSeconds: 1 },
    ];
    await put("services/one", { name: "web", port: service.port, checks });
    const heartbeat = () => put("services/one/checks/beat", { status: "passing", output: "here" });
    await heartbeat();
    await eventually("it is passing", async () => (await first())?.status === "passing");
    const before = (await first())?.modRevision;
    for (let i = 0; i < 8; i++) {
      await heartbeat();
      await new Promise((resolve) => setTimeout(resolve, 250));
      expect((await first())?.status).toBe("passing");
    }
    expect((await first())?.modRevision).toBe(before);
    await eventually("a silent check is critical", async () => (await first())?.status === "critical");
    await heartbeat();
    service.status = 500;
    await eventually("a bad answer is critical", async () => {
      const found = await first();
      return found?.checks.find(({ id }) => id === "up")?.status === "critical";
    });
    await eventually("it resolves here, too", async () => {
      const { body } = await get("resolve/web?healthy=false");
      return (body["instances"] as unknown[]).length === 1;
    });
    await control.client.registry.setLifecycle(
      { namespace: "default", service: "web", id: "one" },
      { lifecycle: "draining" },
    );
    await eventually("draining is taken over", async () =>
      JSON.stringify((await get("services")).body).includes('"lifecycle":"draining"'),
    );
    expect((await first())?.lifecycle).toBe("draining");
    await agent[Symbol.asyncDispose]();
    expect(await first()).toBeUndefined();
  }
});

test("a session that lapsed at the server is opened again, and the service is back", async () => {
  await using folder = await tempFolder();
  const { stack, control, put, first } = await setUp(folder.path, { sessionTtlSeconds: 1 });
  await using _ = stack;
  await put("services/one", { name: "web", port: 80 });
  const session = (await eventually("it is there", first)).session ?? "";
  await control.client.registry.closeSession(session);
  await eventually("it is there again", async () => {
    const found = await first();
    return found !== undefined && found.session !== session;
  });
});

test("a published release arrives in its file and at the local API", async () => {
  await using folder = await tempFolder();
  const { stack, control, put, get } = await setUp(folder.path);
  await using _ = stack;
  const set = { namespace: "default", app: "web", profile: "default" };
  await put("files/app.yaml", { app: "web", key: "app.yaml" });
  const path = join(folder.path, "files", "app.yaml");
  for (const colour of ["blue", "green"]) {
    const value = `colour: ${colour}\n`;
    await control.client.config.publish(set, { items: { "app.yaml": { format: "yaml", value } } });
    await eventually(`${colour} is in the file`, async () => (await readFile(path, "utf8")) === value);
    expect(await get("config/default/web/default")).toMatchObject({
      status: 200,
      body: { items: { "app.yaml": { value } } },
    });
  }
});

test("a gradual release reaches an agent by its label, and goes on once it has acknowledged", async () => {
  await using folder = await tempFolder();
  const { stack, control, put } = await setUp(folder.path, { labels: { zone: "eu" } });
  await using _ = stack;
  const set = { namespace: "default", app: "web", profile: "default" };
  await put("files/app.yaml", { app: "web", key: "app.yaml" });
  const path = join(folder.path, "files", "app.yaml");
  const items = (value: string) => ({ "app.yaml": { format: "yaml" as const, value } });
  await control.client.config.publish(set, { items: items("one") });
  await eventually("it is in the file, and acknowledged", async () => {
    const { applied } = await control.client.config.acknowledgements(set);
    return applied === 1 && (await readFile(path, "utf8")) === "one";
  });
  const rollout = {
    stages: [{ labels: { zone: "eu" }, holdSeconds: 0, ackTimeoutSeconds: 10 }],
    everybody: { holdSeconds: 600 },
  };
  await control.client.config.publish(set, { items: items("two"), rollout });
  await eventually("it is in the file", async () => (await readFile(path, "utf8")) === "two");
  await eventually("the next stage", async () => (await control.client.config.rollout(set)).stage === 1);
  await control.client.config.steerRollout(set, "abort");
  await eventually("it is back in the file", async () => (await readFile(path, "utf8")) === "one");
});
