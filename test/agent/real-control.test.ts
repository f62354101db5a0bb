/** An agent at the real control API: both ends mean the same by every call. */
import { randomBytes } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createAgent, type AgentSettings } from "#agent";
import { eventually, tempFolder, testHost, withControl, hangSignal } from "#test/kit";
import { callHttp, settingsIn, startService } from "./agent-kit.ts";

async function setUp(folder: string, changes: Partial<AgentSettings> = {}) {
  const stack = new AsyncDisposableStack();
  const control = stack.use(await withControl());
  const settings = await settingsIn(folder, { sessionTtlSeconds: 30, ...changes });
  const agent = stack.use(await createAgent(testHost(), { client: control.client, settings }));
  const { socket = "" } = await agent.listen();
  await agent.ready(hangSignal());
  const put = (path: string, body: unknown) => callHttp(socket, "PUT", `/v1/agent/${path}`, body);
  const get = (path: string) => callHttp<Record<string, unknown>>(socket, "GET", `/v1/agent/${path}`);
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
  for (const color of ["blue", "green"]) {
    const value = `color: ${color}\n`;
    await control.client.config.publish(set, { items: { "app.yaml": { format: "yaml", value } } });
    await eventually("the value is in the file", async () => (await readFile(path, "utf8")) === value);
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

test("files are acknowledged under the agent's session; acknowledgements of others are passed on and outlive the agent", async () => {
  await using folder = await tempFolder();
  const { stack, control, agent, put } = await setUp(folder.path);
  await using _ = stack;
  const set = { namespace: "default", app: "web", profile: "default" };
  const { config } = control.client;
  const said = async () => {
    const { subscribers } = await config.acknowledgements(set);
    return subscribers.map(({ subscriber, outcome, error = "" }) => `${subscriber} ${outcome} ${error}`.trim());
  };
  await put("files/out", { app: "web", template: { key: "t" } });
  const text = (value: string) => ({ format: "text" as const, value });
  await config.publish(set, { items: { t: text("{{a}}"), a: text("1") } });
  await eventually("it is applied", async () => (await said()).join() === "host-a applied");
  const { releaseKey } = await config.effective(set);
  expect(await config.effectiveOtherThan(set, releaseKey)).toBeUndefined();
  expect(await config.effectiveOtherThan(set, "another")).toMatchObject({ releaseKey });
  await put("config/default/web/default/acknowledgements/web-1", { releaseKey, outcome: "applied" });
  await eventually("another is passed on", async () => (await said()).length === 2);
  await config.publish(set, { items: { t: text("\n{{b}}"), a: text("1") } });
  await eventually("it is refused", async () => (await said())[0]?.startsWith("host-a failed"));
  expect((await said())[0]).toContain("t:2: {{b}} does not exist");
  expect(await readFile(join(folder.path, "files", "out"), "utf8")).toBe("1");
  await agent[Symbol.asyncDispose]();
  await eventually("its own went with its session", async () => (await said()).join() === "web-1 applied");
});

test("a binary value is a file of its bytes, written again only when they change", async () => {
  await using folder = await tempFolder();
  const { stack, control, put, get } = await setUp(folder.path);
  await using _ = stack.move();
  const set = { namespace: "default", app: "web", profile: "default" };
  const publish = (bytes: Buffer) =>
    control.client.config.publish(set, {
      items: { "store.jks": { format: "binary", value: bytes.toString("base64") } },
    });
  const [first, second] = [randomBytes(70_000), Buffer.from([0xff, 0xfe, 0x00])];
  await publish(first);
  const { body } = await put("files/store.jks", { app: "web", key: "store.jks" });
  const path = (body as { path: string }).path;
  const onDisk = async () => readFile(path).catch(() => undefined);
  await eventually("it is written", async () => (await onDisk())?.equals(first));
  const { ino } = await stat(path);
  await publish(second);
  await eventually("it is written again", async () => (await onDisk())?.equals(second));
  const { ino: later } = await stat(path);
  expect(later).not.toBe(ino);
  await eventually("it is current", async () => {
    const files = (await get("files")).body["files"] as { state: string }[];
    return files[0]?.state === "current";
  });
  expect((await stat(path)).ino).toBe(later);
});
