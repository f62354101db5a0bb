/** An agent as a whole: real files, real probes, a control plane that comes and goes. */
import { chmod, cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createAgent } from "#agent";
import { eventually, tempFolder, testHost, hangSignal } from "#test/kit";
import { settingsIn, startAgent, startService } from "./agent-kit.ts";
import { FakeControlPlane } from "./fake-control-plane.ts";

const WEB = { namespace: "default", app: "web", profile: "default" };

async function define(folder: string, text: string, name = "web.yaml"): Promise<void> {
  await mkdir(join(folder, "services"), { recursive: true });
  await writeFile(join(folder, "services", name), text);
}

const serviceOn = (port: number, more = "") =>
  `services:\n  - name: web\n    port: ${port}\n${more}    checks:\n      - { id: up, type: http, path: /, intervalSeconds: 0.1, fall: 2 }\n`;

test("a defined service is registered, probed here, and its change of health is reported", async () => {
  await using folder = await tempFolder();
  await using service = await startService();
  const plane = new FakeControlPlane();
  await define(folder.path, serviceOn(service.port));
  await using agent = await startAgent(plane, folder.path);
  await agent.running.ready(hangSignal());
  const id = `host-a-web-${service.port}`;
  await eventually("it is passing at the server", () => plane.instance(id)?.status === "passing");
  expect([...plane.stored.values()][0]?.registration).toMatchObject({ probedBy: "agent", session: "session-1" });
  service.status = 503;
  await eventually("it is critical at the server", () => plane.instance(id)?.status === "critical");
  const { body } = await agent.call<{ services: { status: string; checks: { output: string }[] }[] }>(
    "GET",
    "/v1/agent/health",
  );
  expect(body.services[0]).toMatchObject({ status: "critical" });
  expect(body.services[0]?.checks[0]?.output).toContain("503 Service Unavailable");
  const reports = plane.calls.filter((call) => call.startsWith("report"));
  expect(reports).toEqual([`report ${id} up passing`, `report ${id} up critical`]);
});

test("a file that changes is read again: services come, change and go with it", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  await define(folder.path, "service: { name: web, port: 80, id: one }");
  await using _agent = await startAgent(plane, folder.path);
  await eventually("the first is there", () => plane.ids().join() === "one");
  await define(folder.path, "services: [{ name: web, port: 81, id: one }, { name: web, port: 82, id: two }]");
  await eventually("both are there", () => plane.ids().join() === "one,two" && plane.instance("one")?.port === 81);
  await rm(join(folder.path, "services", "web.yaml"));
  await eventually("both are gone", () => plane.ids().length === 0);
});

test("a bad file at the start is a start-up error; a bad file later keeps the old definitions and shows", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  await define(folder.path, "service: { name: web }");
  const settings = await settingsIn(folder.path);
  await expect(createAgent(testHost(), { client: plane.client(), settings })).rejects.toMatchObject({
    code: "AGENT_DEFINITION_INVALID",
  });
  await define(folder.path, "service: { name: web, port: 80, id: one }");
  await using agent = await startAgent(plane, folder.path);
  await eventually("it is there", () => plane.ids().join() === "one");
  await define(folder.path, "service: { name: web, port: 80, id: one, prot: 3 }");
  await agent.running.reload();
  expect(agent.running.status().problems).toMatchObject([{ code: "AGENT_DEFINITION_INVALID" }]);
  expect(agent.running.status().problems[0]?.detail).toContain(
    'web.yaml:1: /service/prot: "prot" is not a known field',
  );
  expect(plane.ids()).toEqual(["one"]);
  expect(agent.log.lines.some(({ level, message }) => level === "error" && message.includes("web.yaml:1"))).toBe(true);
  await define(folder.path, "service: { name: web, port: 81, id: one }");
  await agent.running.reload();
  expect(agent.running.status().problems).toEqual([]);
});

test("a server that lost its data receives every registration again", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  await define(folder.path, "service: { name: web, port: 80, id: one }");
  await using agent = await startAgent(plane, folder.path, { sessionTtlSeconds: 1 });
  await eventually("it is there", () => plane.instance("one"));
  plane.loseEverything();
  await eventually("it is there again", () => plane.instance("one")?.session === "session-2");
  await eventually("all is in sync", () => agent.running.status().inSync);
});

test("while the server is away the agent continues, and reports what changed once the server is back", async () => {
  await using folder = await tempFolder();
  await using service = await startService();
  const plane = new FakeControlPlane();
  await define(folder.path, serviceOn(service.port, "    id: one\n"));
  await using agent = await startAgent(plane, folder.path);
  await eventually("it is passing", () => plane.instance("one")?.status === "passing");
  plane.setUp(false);
  service.status = 500;
  const { status } = await agent.call("PUT", "/v1/agent/services/two", { name: "api", port: 90 });
  expect(status).toBe(204);
  await eventually("the agent knows", () => !agent.running.status().connected);
  expect(agent.running.status().problems).toMatchObject([{ code: "AGENT_SERVER_AWAY" }]);
  plane.setUp(true);
  await eventually("both are registered", () => plane.instance("one")?.status === "critical" && plane.instance("two"));
  await eventually("nothing is wrong", () => agent.running.status().problems.length === 0);
});

test("a clean stop deregisters the services at once, unless they are to be left for the next start", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  await define(folder.path, "service: { name: web, port: 80, id: one }");
  {
    await using _agent = await startAgent(plane, folder.path);
    await eventually("it is there", () => plane.instance("one"));
  }
  expect(plane.ids()).toEqual([]);
  {
    await using _agent = await startAgent(plane, folder.path, { leaveOnStop: false });
    await eventually("it is there", () => plane.instance("one"));
  }
  expect(plane.instance("one")?.session).toBe("session-2");
  await using _agent = await startAgent(plane, folder.path);
  await eventually("it is registered again", () => plane.calls.filter((call) => call === "register one").length >= 3);
  expect(plane.instance("one")?.session).toBe("session-2");
});

test("after a restart without its server the agent serves its last config, marked as stale", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  plane.release(WEB, { "app.yaml": "color: blue" });
  {
    await using agent = await startAgent(plane, folder.path, { leaveOnStop: false });
    await agent.call("PUT", "/v1/agent/services/one", { name: "web", port: 80 });
    await agent.call("PUT", "/v1/agent/files/app.yaml", { app: "web", key: "app.yaml" });
    await agent.call("GET", "/v1/agent/config/default/web/default");
    await eventually("it is there", () => plane.instance("one"));
    await eventually("it resolves", async () => {
      const { body } = await agent.call<{ instances: unknown[] }>("GET", "/v1/agent/resolve/web");
      return body.instances.length === 1;
    });
  }
  plane.setUp(false);
  await rm(join(folder.path, "files", "app.yaml"));
  await using agent = await startAgent(plane, folder.path);
  await agent.running.ready(hangSignal());
  const config = await agent.call("GET", "/v1/agent/config/default/web/default");
  expect(config).toMatchObject({ status: 200, headers: { "x-posthouse-stale": "true", age: expect.any(String) } });
  expect(config.body).toMatchObject({ items: { "app.yaml": { value: "color: blue" } } });
  const resolved = await agent.call("GET", "/v1/agent/resolve/web");
  expect(resolved).toMatchObject({ headers: { "x-posthouse-stale": "true" }, body: { instances: [{ id: "one" }] } });
  const path = join(folder.path, "files", "app.yaml");
  await eventually("the file is written again", async () => (await readFile(path, "utf8")) === "color: blue");
  expect((await agent.call("GET", "/v1/agent/services")).body).toMatchObject({
    services: [{ id: "one", source: "api" }],
  });
  plane.setUp(true);
  await eventually("it goes on with its session", () => agent.running.status().inSync);
  expect(plane.sessions).toEqual(new Set(["session-1"]));
  await eventually("the served config is fresh", async () => {
    const { headers } = await agent.call("GET", "/v1/agent/config/default/web/default");
    return headers["x-posthouse-stale"] === undefined && headers["age"] === "0";
  });
});

test("a clean stop, which deregisters this host's services, does not empty the catalogs of a restart without the server", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  {
    await using agent = await startAgent(plane, folder.path);
    await agent.call("PUT", "/v1/agent/services/one", { name: "web", port: 80 });
    await eventually("it resolves", async () => {
      const { body } = await agent.call<{ instances: unknown[] }>("GET", "/v1/agent/resolve/web");
      return body.instances.length === 1;
    });
    plane.answersLate = true;
  }
  expect(plane.ids()).toEqual([]);
  plane.setUp(false);
  await using agent = await startAgent(plane, folder.path);
  await agent.running.ready(hangSignal());
  const resolved = await agent.call("GET", "/v1/agent/resolve/web");
  expect(resolved).toMatchObject({ headers: { "x-posthouse-stale": "true" }, body: { instances: [{ id: "one" }] } });
});

test("an agent killed without warning goes on with its session, its services and their health", async () => {
  await using folder = await tempFolder();
  await using service = await startService();
  const plane = new FakeControlPlane();
  await define(folder.path, serviceOn(service.port, "    id: one\n"));
  await using first = await startAgent(plane, folder.path);
  await first.call("PUT", "/v1/agent/services/two", { name: "api", port: 90 });
  await eventually("both are registered", () => plane.instance("one")?.status === "passing" && plane.instance("two"));
  await using other = await tempFolder();
  await define(other.path, serviceOn(service.port, "    id: one\n"));
  await eventually("it is kept", async () => {
    const text = await readFile(join(folder.path, "data", "agent.json"), "utf8");
    return text.includes('"two"') && text.includes('"status":"passing"');
  });
  // A kill leaves the files as they are on disk at that moment.
  await cp(join(folder.path, "data"), join(other.path, "data"), {
    recursive: true,
    filter: (path) => !path.endsWith(".sock"),
  });
  plane.calls.length = 0;
  await using second = await startAgent(plane, other.path);
  await eventually("it is in sync", () => second.running.status().inSync);
  expect(plane.calls).not.toContain("openSession");
  expect(plane.sessions).toEqual(new Set(["session-1"]));
  const { body } = await second.call<{ services: { id: string; status: string }[] }>("GET", "/v1/agent/health");
  expect(body.services.find(({ id }) => id === "one")?.status).toBe("passing");
  expect(plane.ids()).toEqual(["one", "two"]);
});

test("a service that is no longer defined after a restart is deregistered", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  await define(folder.path, "services: [{ name: web, port: 80, id: one }, { name: api, port: 81, id: two }]");
  {
    await using agent = await startAgent(plane, folder.path, { leaveOnStop: false });
    await eventually("both are there", () => agent.running.status().inSync && plane.ids().length === 2);
  }
  await define(folder.path, "services: [{ name: web, port: 80, id: one }]");
  await using _agent = await startAgent(plane, folder.path);
  await eventually("the other is gone", () => plane.ids().join() === "one");
});

test("a corrupt snapshot is set aside and the agent starts without it", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  await mkdir(join(folder.path, "data"), { recursive: true });
  await writeFile(join(folder.path, "data", "agent.json"), '{"format":1,"session":');
  await using agent = await startAgent(plane, folder.path);
  await agent.running.ready(hangSignal());
  expect(await readdir(join(folder.path, "data"))).toContain("agent.json.corrupt");
  expect(agent.log.lines.some(({ message }) => message.includes("agent.json.corrupt"))).toBe(true);
});

test("an agent that never began leaves the snapshot of the earlier run as it is", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  {
    await using agent = await startAgent(plane, folder.path, { leaveOnStop: false });
    await agent.call("PUT", "/v1/agent/services/one", { name: "web", port: 80 });
    await eventually("it is there", () => plane.ids().length === 1);
  }
  const path = join(folder.path, "data", "agent.json");
  const before = await readFile(path, "utf8");
  expect(JSON.parse(before)).toMatchObject({ services: [{ name: { id: "one" } }] });
  // As when another role of the same process cannot start.
  const agent = await createAgent(testHost(), { client: plane.client(), settings: await settingsIn(folder.path) });
  await agent[Symbol.asyncDispose]();
  expect(await readFile(path, "utf8")).toBe(before);
});

test("a release reaches its file, and a later one replaces it; a removed key leaves the file as it was", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  await define(folder.path, 'file: { app: web, key: app.yaml, path: ../out.yaml, mode: "0600" }');
  await using agent = await startAgent(plane, folder.path);
  const path = join(folder.path, "out.yaml");
  await eventually("nothing is released", () => agent.running.status().files === 1);
  plane.release(WEB, { "app.yaml": "one" });
  await eventually("the first is written", async () => (await readFile(path, "utf8")) === "one");
  plane.release(WEB, { "app.yaml": "two" });
  await eventually("the second is written", async () => (await readFile(path, "utf8")) === "two");
  plane.release(WEB, { other: "three" });
  await eventually("the key is gone", async () => {
    const { body } = await agent.call<{ files: { state: string }[] }>("GET", "/v1/agent/files");
    return body.files[0]?.state === "absent";
  });
  expect(await readFile(path, "utf8")).toBe("two");
});

test("a file that cannot be written is shown with the way out, and written as soon as it can be", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  plane.release(WEB, { "app.yaml": "one" });
  await define(folder.path, "file: { app: web, key: app.yaml, path: ../missing/out.yaml }");
  await using agent = await startAgent(plane, folder.path);
  await eventually("it failed", () => agent.running.status().filesFailed === 1);
  expect(agent.running.status().problems[0]).toMatchObject({ code: "AGENT_FILE_NOT_WRITTEN" });
  expect(agent.running.status().problems[0]?.detail).toContain("its folder does not exist (ENOENT); create it.");
  await mkdir(join(folder.path, "missing"));
  await eventually("it is written", () => agent.running.status().filesFailed === 0);
  expect(await readFile(join(folder.path, "missing", "out.yaml"), "utf8")).toBe("one");
});

test("a data folder that cannot be created is a start-up error; one that fails later is reported, and the agent continues", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  await writeFile(join(folder.path, "data"), "in the way");
  const settings = await settingsIn(folder.path);
  await expect(createAgent(testHost(), { client: plane.client(), settings })).rejects.toMatchObject({
    code: "AGENT_FOLDER_UNUSABLE",
  });
  await rm(join(folder.path, "data"));
  await using agent = await startAgent(plane, folder.path);
  await agent.running.ready(hangSignal());
  await eventually("it is kept", async () => (await readdir(settings.dataDir)).includes("agent.json"));
  await rm(settings.dataDir, { recursive: true });
  await agent.call("PUT", "/v1/agent/services/one", { name: "web", port: 80 });
  await eventually("it is shown", () => agent.running.status().problems[0]?.code === "AGENT_SNAPSHOT_NOT_KEPT");
  await eventually("it is registered all the same", () => plane.instance("one"));
  await mkdir(settings.dataDir);
  await chmod(settings.dataDir, 0o700);
  await eventually("it is kept again", () => agent.running.status().problems.length === 0);
});

test("a service that the server refuses is shown with its reason, and the others are taken", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  plane.refuses = "full";
  await define(folder.path, "services: [{ name: full, port: 80, id: one }, { name: web, port: 81, id: two }]");
  await using agent = await startAgent(plane, folder.path);
  await agent.running.ready(hangSignal());
  await eventually("the other is there", () => plane.ids().join() === "two");
  expect(agent.running.status().problems).toMatchObject([
    { code: "AGENT_SERVICE_REFUSED", detail: 'The server rejects "one": "full" is full.' },
  ]);
});

test("a weight set at the server stays over a restart of the agent, until the definition states one", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  await define(folder.path, "service: { name: web, port: 80, id: one }");
  const takenOver = (agent: Awaited<ReturnType<typeof startAgent>>, weight: number) =>
    eventually("the agent has it", async () => {
      const { body } = await agent.call<{ services: { registration: { weight?: number } }[] }>(
        "GET",
        "/v1/agent/services",
      );
      return body.services[0]?.registration.weight === weight && plane.instance("one")?.weight === weight;
    });
  {
    await using agent = await startAgent(plane, folder.path, { leaveOnStop: false });
    await eventually("it is there", () => agent.running.status().inSync && plane.instance("one"));
    plane.setWeight("one", 7);
    await takenOver(agent, 7);
  }
  await using agent = await startAgent(plane, folder.path);
  await eventually("it is in sync", () => agent.running.status().inSync);
  expect(plane.instance("one")?.weight).toBe(7);
  await define(folder.path, "service: { name: web, port: 80, id: one, weight: 50 }");
  await takenOver(agent, 50);
  await define(folder.path, "service: { name: web, port: 81, id: one }");
  await eventually("no weight is the usual one", () => plane.instance("one")?.weight === 100);
});

test("an instance drained at the server stays drained, also over a restart of the agent", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  await define(folder.path, "service: { name: web, port: 80, id: one }");
  {
    await using agent = await startAgent(plane, folder.path, { leaveOnStop: false });
    await eventually("it is there", () => agent.running.status().inSync && plane.instance("one"));
    plane.setLifecycle("one", "draining");
    await eventually("the agent took it over", async () => {
      const { body } = await agent.call<{ services: { registration: { lifecycle?: string } }[] }>(
        "GET",
        "/v1/agent/services",
      );
      return body.services[0]?.registration.lifecycle === "draining";
    });
  }
  await using agent = await startAgent(plane, folder.path);
  await eventually("it is in sync", () => agent.running.status().inSync);
  expect(plane.instance("one")?.lifecycle).toBe("draining");
});
