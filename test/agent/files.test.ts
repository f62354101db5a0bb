/**
 * Files from templates with checks and reloads, by real programs, and the acknowledgements that the config server
 * receives.
 */
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { eventually, tempFolder } from "#test/kit";
import { settingsIn, startAgent, type TestAgent } from "./agent-kit.ts";
import { FakeControlPlane } from "./fake-control-plane.ts";

const WEB = { namespace: "default", app: "web", profile: "default" };
const SH = "/bin/sh";

async function define(folder: string, files: readonly object[]): Promise<void> {
  const { servicesDir = "" } = await settingsIn(folder);
  await writeFile(join(servicesDir, "files.yaml"), JSON.stringify({ files }));
}

const script = (text: string, ...args: string[]) => [SH, "-c", text, "sh", ...args];
const read = (folder: string, name: string) => readFile(join(folder, name), "utf8").catch(() => "");
const lines = async (folder: string, name: string) => (await read(folder, name)).split("\n").filter(Boolean);
const said = (plane: FakeControlPlane) =>
  plane.acknowledged.map(({ releaseKey, outcome }) => `${releaseKey} ${outcome}`);
function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}
const states = async (agent: TestAgent) => {
  const { body } = await agent.call<{ files: { state: string; code?: string; error?: string }[] }>(
    "GET",
    "/v1/agent/files",
  );
  return body.files;
};

test("a template of this host follows its sets and itself, and is a release of each as a whole", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  const shared = { ...WEB, app: "shared" };
  plane.release(WEB, { url: "a", check: "a" });
  await define(folder.path, [
    {
      app: "web",
      path: "../out.conf",
      mode: "0600",
      template: { path: "out.mustache", sets: { shared: { app: "shared" } } },
    },
  ]);
  const template = join(folder.path, "services", "out.mustache");
  await writeFile(template, "{{url}}{{check}} {{shared.region}}");
  await using agent = await startAgent(plane, folder.path);
  await eventually("it waits", async () => (await states(agent))[0]?.state === "waiting");
  plane.release(shared, { region: "eu" });
  await eventually("it is written", async () => (await read(folder.path, "out.conf")) === "aa eu");
  expect((await stat(join(folder.path, "out.conf"))).mode & 0o777).toBe(0o600);
  plane.release(WEB, { url: "b", check: "b" });
  await eventually("it follows", async () => (await read(folder.path, "out.conf")) === "bb eu");
  await writeFile(template, "{{shared.region}} only");
  await eventually("the template may change", async () => (await read(folder.path, "out.conf")) === "eu only");
  await eventually("both sets are said to be applied", () => {
    const last = new Map(plane.acknowledged.map((one) => [one.app, `${one.releaseKey} ${one.outcome}`]));
    return last.get("web") === "key-4 applied" && last.get("shared") === "key-3 applied";
  });
});

test("a missing name leaves the file as it was, is reported with its line, and is acknowledged as failed", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  plane.release(WEB, { "out.mustache": "first\nurl={{url}}\n", url: "a" });
  await using agent = await startAgent(plane, folder.path);
  const body = { app: "web", template: { key: "out.mustache" } };
  expect((await agent.call("PUT", "/v1/agent/files/out.conf", body)).status).toBe(200);
  const file = () => read(join(folder.path, "files"), "out.conf");
  await eventually("it is written", async () => (await file()) === "first\nurl=a\n");
  plane.release(WEB, { "out.mustache": "first\nurl={{url}}\n" });
  await eventually("it is refused", async () => (await states(agent))[0]?.state === "failed");
  const detail = `out.mustache:2: {{url}} does not exist: web/default has out.mustache`;
  expect((await states(agent))[0]).toMatchObject({
    code: "AGENT_TEMPLATE_INVALID",
    error: expect.stringContaining(detail),
    releaseKey: "key-2",
  });
  expect(agent.running.status().problems).toMatchObject([{ code: "AGENT_TEMPLATE_INVALID" }]);
  expect(await file()).toBe("first\nurl=a\n");
  await eventually("the failure is acknowledged", () => said(plane).includes("key-3 failed"));
  expect(plane.acknowledged.at(-1)?.error).toContain(detail);
  plane.release(WEB, { "out.mustache": "url={{url}}\n", url: "b" });
  await eventually("the file is correct again", async () => (await file()) === "url=b\n");
  await eventually("the success is acknowledged", () => said(plane).at(-1) === "key-4 applied");
});

test("the local API takes a key or a template of the set, but no file of this host", async () => {
  await using folder = await tempFolder();
  await using agent = await startAgent(new FakeControlPlane(), folder.path);
  for (const [body, field] of [
    [{ app: "web" }, ""],
    [{ app: "web", key: "a", template: { key: "b" } }, ""],
    [{ app: "web", template: { path: "/etc/shadow" } }, "/template/key"],
    [{ app: "web", template: { key: "a", path: "/etc/shadow" } }, "/template/path"],
    [{ app: "web", key: "a", check: { command: ["/bin/true", "{path}"] } }, "/check"],
    [{ app: "web", key: "a", reload: { type: "signal", pidFile: "/x" } }, "/reload"],
  ] as const) {
    const answer = await agent.call("PUT", "/v1/agent/files/x", body);
    expect([answer.status, answer.body["field"]], JSON.stringify(body)).toEqual([400, field]);
  }
});

test("a check looks at the new file before the old one goes: refused, late or not allowed, the old one stays", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  const out = join(folder.path, "out");
  // It says what it sees, fails on "bad", hangs with a child on "hang", and floods on "flood".
  const judge = script(
    `echo "$1" >> ${folder.path}/seen
     case "$(cat "$1")" in
       bad) echo "line 1: bad" >&2; exit 3;;
       hang) sleep 600 & echo $! > ${folder.path}/child; sleep 600;;
       flood) head -c 10000000 /dev/zero | tr '\\0' x; exit 4;;
     esac`,
    "{path}",
  );
  await writeFile(out, "old");
  await chmod(out, 0o604);
  await define(folder.path, [{ app: "web", key: "a", path: "../out", check: { command: judge, timeoutSeconds: 4 } }]);
  await using agent = await startAgent(plane, folder.path, { execAllow: [SH] });
  const refused = async (value: string, why: string) => {
    plane.release(WEB, { a: value });
    await eventually(`${value} is refused`, async () => (await states(agent))[0]?.error?.includes(why));
    expect((await states(agent))[0]).toMatchObject({ state: "failed", code: "AGENT_CHECK_REFUSED" });
    await eventually(`${value} is acknowledged as failed`, () => said(plane).at(-1) === `key-${plane.revision} failed`);
    expect(plane.acknowledged.at(-1)?.error).toContain(why);
    expect((await readdir(folder.path)).filter((name) => name.startsWith(".out"))).toEqual([]);
  };
  await refused("bad", "exit 3 line 1: bad");
  expect(await readFile(out, "utf8")).toBe("old");
  expect((await lines(folder.path, "seen"))[0]).toMatch(/\.out\..*\.posthouse-tmp$/);
  await refused("hang", "no complete answer within 4000 ms");
  const child = Number(await read(folder.path, "child"));
  await eventually("its group is gone", () => isGone(child));
  await refused("flood", "exit 4 xxxx");
  expect(((await states(agent))[0]?.error ?? "").length).toBeLessThan(1_000);
  expect(await readFile(out, "utf8")).toBe("old");
  plane.release(WEB, { a: "good" });
  await eventually("a good one is written", async () => (await readFile(out, "utf8")) === "good");
  expect((await stat(out)).mode & 0o777).toBe(0o604);
  await eventually("the good one is acknowledged", () => said(plane).at(-1) === `key-${plane.revision} applied`);
});

test("a program that the operator did not allow is not run, and refuses the file", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  plane.release(WEB, { a: "x" });
  const touch = script(`touch ${folder.path}/ran; exit 0`, "{path}");
  await define(folder.path, [{ app: "web", key: "a", path: "../out", check: { command: touch } }]);
  await using agent = await startAgent(plane, folder.path);
  await eventually("it is refused", async () => (await states(agent))[0]?.error?.includes("agentExecAllow"));
  expect(await readdir(folder.path)).not.toContain("ran");
  expect(await readdir(folder.path)).not.toContain("out");
});

test("files of one reload are reloaded once when it is quiet, also after many releases", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  const reload = {
    type: "command",
    command: script(`echo "$(cat ${folder.path}/a ${folder.path}/b)" >> ${folder.path}/reloads`),
    quietSeconds: 0.3,
  };
  await define(folder.path, [
    { app: "web", key: "a", path: "../a", reload },
    { app: "web", key: "b", path: "../b", reload },
  ]);
  await using agent = await startAgent(plane, folder.path, { execAllow: [SH] });
  for (let i = 1; i <= 5; i++) plane.release(WEB, { a: `a${i}`, b: `b${i}` });
  await eventually("it is reloading", async () => (await states(agent)).some(({ state }) => state === "reloading"));
  expect(said(plane)).not.toContain("key-6 applied");
  await eventually("it is applied", () => said(plane).at(-1) === "key-6 applied");
  expect(await lines(folder.path, "reloads")).toEqual(["a5b5"]);
  expect((await states(agent)).map(({ state }) => state)).toEqual(["current", "current"]);
  expect(said(plane).filter((one) => one === "key-6 applied")).toHaveLength(1);
});

test("a file that waits for its first release does not keep the others of its group from being reloaded", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  plane.release(WEB, { a: "1" });
  const reload = { type: "command", command: script(`echo x >> ${folder.path}/reloads`), quietSeconds: 0.1 };
  await define(folder.path, [
    { app: "web", key: "a", path: "../a", reload },
    { app: "later", template: { key: "t" }, path: "../b", reload },
  ]);
  await using agent = await startAgent(plane, folder.path, { execAllow: [SH] });
  await eventually("the first is applied", () => said(plane).join() === "key-2 applied");
  expect((await states(agent)).map(({ state }) => state)).toEqual(["current", "waiting"]);
  plane.release({ ...WEB, app: "later" }, { t: "2" });
  await eventually("the other is, too", () => said(plane).at(-1) === "key-3 applied");
  expect(await lines(folder.path, "reloads")).toEqual(["x", "x"]);
});

test("the failed reload of one release says nothing of the next", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  plane.release(WEB, { a: "bad" });
  const reload = {
    type: "command",
    command: script(`! grep -q bad ${folder.path}/a`),
    quietSeconds: 0.2,
  };
  await define(folder.path, [{ app: "web", key: "a", path: "../a", reload }]);
  await using _agent = await startAgent(plane, folder.path, { execAllow: [SH] });
  await eventually("it failed", () => said(plane).at(-1) === "key-2 failed");
  plane.release(WEB, { a: "good" });
  await eventually("the next is applied", () => said(plane).at(-1) === "key-3 applied");
  expect(said(plane)).toEqual(["key-2 failed", "key-3 applied"]);
});

test("a file that never stops changing is reloaded all the same, after the longest wait", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  const reload = {
    type: "command",
    command: script(`echo x >> ${folder.path}/reloads`),
    quietSeconds: 5,
    quietSecondsMax: 0.5,
  };
  await define(folder.path, [{ app: "web", key: "a", path: "../a", reload }]);
  await using _agent = await startAgent(plane, folder.path, { execAllow: [SH] });
  const busy = setInterval(() => plane.release(WEB, { a: `a${plane.revision}` }), 50);
  try {
    await eventually("it is reloaded", async () => (await lines(folder.path, "reloads")).length > 0);
  } finally {
    clearInterval(busy);
  }
});

test("a reload is a signal to the process of a pid file, and never to a process that reused its number", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  const pidFile = join(folder.path, "pid");
  const signals: number[] = [];
  const onSignal = () => signals.push(1);
  process.on("SIGUSR2", onSignal);
  try {
    await define(folder.path, [
      { app: "web", key: "a", path: "../a", reload: { type: "signal", pidFile, signal: "USR2", quietSeconds: 0 } },
    ]);
    plane.release(WEB, { a: "1" });
    await using agent = await startAgent(plane, folder.path);
    await eventually("it fails", async () => (await states(agent))[0]?.code === "AGENT_RELOAD_FAILED");
    expect(await read(folder.path, "a")).toBe("1");
    await eventually("the failure is acknowledged", () => said(plane).at(-1) === "key-2 failed");
    await writeFile(pidFile, `${process.pid}\n`);
    await eventually("it is signalled once it can be", () => signals.length === 1);
    await eventually("the success is acknowledged", () => said(plane).at(-1) === "key-2 applied");
  } finally {
    process.off("SIGUSR2", onSignal);
  }
});

test("a reload over HTTP that hangs fails at its timeout, is retried, and recovers", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  let hangs = true;
  const methods: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    methods.push(request.method);
    if (!hangs) response.end("reloaded");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/-/reload`;
    const reload = { type: "http", url, timeoutSeconds: 0.2, quietSeconds: 0 };
    await define(folder.path, [{ app: "web", key: "a", path: "../a", reload }]);
    plane.release(WEB, { a: "1" });
    await using agent = await startAgent(plane, folder.path);
    await eventually("it is late", async () => (await states(agent))[0]?.error?.includes("within 200 ms"));
    hangs = false;
    await eventually("it is applied", () => said(plane).at(-1) === "key-2 applied");
    expect(methods.length).toBeGreaterThan(1);
    expect(new Set(methods)).toEqual(new Set(["POST"]));
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

test("a reload command that hangs is ended with its children at its time, and what is said is that it failed", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  plane.release(WEB, { a: "1" });
  const hang = script(`sleep 600 & echo $! >> ${folder.path}/children; sleep 600`);
  const reload = { type: "command", command: hang, timeoutSeconds: 2, quietSeconds: 0 };
  await define(folder.path, [{ app: "web", key: "a", path: "../a", reload }]);
  await using agent = await startAgent(plane, folder.path, { execAllow: [SH] });
  await eventually("the failure is acknowledged", () => said(plane).at(-1) === "key-2 failed");
  expect(plane.acknowledged.at(-1)?.error).toContain("no complete answer within 2000 ms");
  expect(agent.running.status().problems).toMatchObject([{ code: "AGENT_RELOAD_FAILED" }]);
  expect(await read(folder.path, "a")).toBe("1");
  const [child = ""] = await lines(folder.path, "children");
  await eventually("its group is gone", () => isGone(Number(child)));
  await eventually("it is tried again", async () => (await lines(folder.path, "children")).length > 1);
});

test("a reload interrupted by a kill runs after the restart, and a finished one does not run again", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  plane.release(WEB, { a: "1" });
  const reload = (splaySeconds: number) => ({
    type: "command",
    command: script(`cat ${folder.path}/a >> ${folder.path}/reloads; echo >> ${folder.path}/reloads`),
    quietSeconds: 0,
    splaySeconds,
  });
  const options = { execAllow: [SH], leaveOnStop: false };
  await define(folder.path, [{ app: "web", key: "a", path: "../a", reload: reload(0) }]);
  {
    await using _agent = await startAgent(plane, folder.path, options);
    await eventually("it is reloaded", async () => (await lines(folder.path, "reloads")).length === 1);
    await eventually("it is acknowledged", () => said(plane).includes("key-2 applied"));
  }
  {
    await using agent = await startAgent(plane, folder.path, options);
    await eventually("it is current", async () => (await states(agent))[0]?.state === "current");
    expect(await lines(folder.path, "reloads")).toEqual(["1"]);
  }
  // Swapped, and not reloaded any more by the agent that did it.
  await writeFile(join(folder.path, "a"), "2");
  plane.release(WEB, { a: "2" });
  await using agent = await startAgent(plane, folder.path, options);
  await eventually("it is reloaded now", async () => (await lines(folder.path, "reloads")).length === 2);
  await eventually("it is current", async () => (await states(agent))[0]?.state === "current");
});

test("an applied release is acknowledged once, and again only under another session", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  plane.release(WEB, { a: "1" });
  await define(folder.path, [{ app: "web", key: "a", path: "../a" }]);
  await using agent = await startAgent(plane, folder.path, { sessionTtlSeconds: 1 });
  await eventually("it is said", () => plane.acknowledged.length === 1);
  expect(plane.acknowledged[0]).toEqual({
    app: "web",
    subscriber: "host-a",
    releaseKey: "key-2",
    outcome: "applied",
    session: "session-1",
  });
  const heartbeats = () => plane.calls.filter((call) => call.startsWith("heartbeat")).length;
  const before = heartbeats();
  await eventually("several heartbeats", () => heartbeats() > before + 2);
  expect(plane.acknowledged).toHaveLength(1);
  plane.lapse("session-1");
  await eventually("it is said again", () => plane.acknowledged.length === 2);
  expect(plane.acknowledged[1]).toMatchObject({ session: "session-2", outcome: "applied" });
  // No file is written from this set, so there is nothing to acknowledge.
  plane.release({ ...WEB, app: "other" }, { a: "1" });
  await agent.call("GET", "/v1/agent/config/default/other/default");
  plane.setUp(false);
  plane.release(WEB, { a: "2" });
  await agent.call("PUT", "/v1/agent/config/default/other/default/acknowledgements/mine", {
    releaseKey: "key-3",
    outcome: "applied",
  });
  plane.setUp(true);
  await eventually("both are said", () => plane.acknowledged.length === 4);
  expect(
    plane.acknowledged
      .slice(2)
      .map(({ app, subscriber }) => `${app} ${subscriber}`)
      .sort(),
  ).toEqual(["other mine", "web host-a"]);
  const own = await agent.call("PUT", "/v1/agent/config/default/web/default/acknowledgements/host-a", {
    releaseKey: "key-4",
    outcome: "applied",
  });
  expect(own).toMatchObject({ status: 400, body: { code: "AGENT_ACKNOWLEDGEMENT_INVALID" } });
});

test("a file in a read-only folder stays as it was, is acknowledged as failed, and is written once it can be", async () => {
  await using folder = await tempFolder();
  const plane = new FakeControlPlane();
  plane.release(WEB, { a: "1" });
  await define(folder.path, [{ app: "web", key: "a", path: "../out/a" }]);
  await mkdir(join(folder.path, "out"));
  await using agent = await startAgent(plane, folder.path);
  await eventually("it is written", () => said(plane).includes("key-2 applied"));
  // A file in the folder's place is a refusal for root, too.
  await rm(join(folder.path, "out"), { recursive: true });
  await writeFile(join(folder.path, "out"), "in the way");
  plane.release(WEB, { a: "2" });
  await eventually("the failure is acknowledged", () => said(plane).at(-1) === "key-3 failed");
  expect(agent.running.status().problems[0]).toMatchObject({ code: "AGENT_FILE_NOT_WRITTEN" });
  await rm(join(folder.path, "out"));
  await mkdir(join(folder.path, "out"));
  await eventually("the success is acknowledged", () => said(plane).at(-1) === "key-3 applied");
  expect(await read(join(folder.path, "out"), "a")).toBe("2");
});
