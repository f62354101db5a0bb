/** `posthouse exec` as real processes: environment from config, restarts and signals on change, exit codes kept. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Client, fetchTransport, type Transport } from "#client";
import {
  eventually,
  freePort,
  restartBySigterm,
  startPosthouse,
  startProgram,
  tempFolder,
  testHost,
  type Posthouse,
  type Program,
  type TempFolder,
} from "#test/kit";

let folder: TempFolder;
let posthouse: Posthouse;
let transport: Transport;
let client: Client;

beforeAll(async () => {
  folder = await tempFolder();
  const args = ["--store", "memory", "--roles", "registry", "config-server", "--dns", "off"];
  posthouse = await startPosthouse({ data: join(folder.path, "data"), args });
  transport = fetchTransport({ urls: [posthouse.api] });
  client = new Client(testHost(), { transport, token: posthouse.token ?? "" });
});
afterAll(async () => {
  await transport[Symbol.asyncDispose]();
  await posthouse[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

function exec(script: string, args: readonly string[]): Program {
  return startProgram("bin/posthouse", ["exec", ...args, "--quiet-seconds", "0.1", "--", "sh", "-c", script], {
    environment: { POSTHOUSE_CONTROL_URLS: posthouse.api, POSTHOUSE_TOKEN: posthouse.token ?? "" },
    cwd: folder.path,
  });
}

async function release(app: string, yaml: string): Promise<void> {
  const name = { namespace: "default", app, profile: "default" };
  await client.config.publish(name, { items: { "app.yaml": { format: "yaml", value: yaml } } });
}

const lines = async (file: string): Promise<string[]> =>
  (await readFile(join(folder.path, file), "utf8").catch(() => "")).split("\n").filter(Boolean);

test("the command has the values of all sets, the later over the earlier, and its exit code is kept", async () => {
  await release("shared", "db: { url: old, user: u }");
  await release("code", "db: { url: new }");
  const args = ["--config", "shared", "--config", "code", "--env", "OLD=app.yaml#db.url"];
  await using program = exec(`echo "$DB_URL $DB_USER $OLD"; exit 7`, args);
  expect(await program.exited).toEqual({ code: 7, signal: null });
  expect(program.output()).toBe("new u new\n");
});

test("it waits for a first release, and a signal while it waits ends it", async () => {
  await using waiting = exec(`echo "$SAY"`, ["--config", "later"]);
  await using ended = exec(`echo never`, ["--config", "never"]);
  await eventually("both wait", () =>
    [waiting, ended].every((one) => one.errors().includes("waiting for a first release")),
  );
  await release("later", "say: hello");
  expect((await waiting.exited).code).toBe(0);
  expect(waiting.output()).toBe("hello\n");
  ended.kill("SIGTERM");
  expect(await ended.exited).toEqual({ code: 143, signal: null });
  expect(ended.output()).toBe("");
});

test("a change restarts the command, even one that ignores SIGTERM, and signals to the program are passed to the command", async () => {
  await release("restart", "v: 1");
  const script = `trap "" TERM; trap "exit 9" INT; echo "$V $$" >> restarts; while :; do sleep 0.05; done`;
  await using program = exec(script, ["--config", "restart", "--grace-seconds", "0.2"]);
  const [first = ""] = await eventually("it runs", async () =>
    (await lines("restarts")).length === 1 ? lines("restarts") : undefined,
  );
  // Other text, the same values: no reason to restart.
  await release("restart", "v: 1 # the same");
  await release("restart", "v: 2");
  await eventually("it was restarted", async () => (await lines("restarts")).length === 2);
  expect((await lines("restarts")).map((line) => line.split(" ")[0])).toEqual(["1", "2"]);
  expect(() => process.kill(Number(first.split(" ")[1]), 0)).toThrow(/ESRCH/);
  program.kill("SIGINT");
  expect(await program.exited).toEqual({ code: 9, signal: null });
});

test("a change may be a signal instead, and a config that makes no environment changes nothing", async () => {
  await release("signal", "v: 1");
  const script = `trap "echo again >> signals" USR1; trap "exit 0" TERM; echo up >> signals; while :; do sleep 0.05; done`;
  const args = ["--config", "signal", "--on-change", "signal", "--signal", "USR1", "--env", "V=app.yaml#v"];
  await using program = exec(script, args);
  await eventually("it runs", async () => (await lines("signals")).length === 1);
  await release("signal", "w: 2");
  await eventually("it says why not", () => program.errors().includes('"app.yaml" has no value at v'));
  await release("signal", "v: 3");
  await eventually("it had its signal", async () => (await lines("signals")).length === 2);
  program.kill("SIGTERM");
  expect((await program.exited).code).toBe(0);
  expect(await lines("signals")).toEqual(["up", "again"]);
});

test("a missing command ends with 127, one that may not be run with 126, and both are acknowledged as failed", async () => {
  await release("codes", "v: 1");
  await writeFile(join(folder.path, "plain.sh"), "#!/bin/sh\nexit 0\n", { mode: 0o644 });
  const run = (command: string) =>
    startProgram("bin/posthouse", ["exec", "--config", "codes", "--subscriber", "codes", "--", command], {
      environment: { POSTHOUSE_CONTROL_URLS: posthouse.api, POSTHOUSE_TOKEN: posthouse.token ?? "" },
      cwd: folder.path,
    });
  await using missing = run("./nowhere.sh");
  expect((await missing.exited).code).toBe(127);
  expect(missing.errors()).toContain("./nowhere.sh cannot be run");
  await using plain = run("./plain.sh");
  expect((await plain.exited).code).toBe(126);
  const set = { namespace: "default", app: "codes", profile: "default" };
  const { failed, subscribers } = await client.config.acknowledgements(set);
  expect([failed, subscribers[0]?.error]).toEqual([1, expect.stringContaining("EACCES")]);
});

test("with --on-change none a change is left alone, and not said to be applied", async () => {
  await release("none", "v: 1");
  const loop = (name: string) => `echo "$V" >> ${name}; trap "exit 0" TERM; while :; do sleep 0.05; done`;
  await using still = exec(loop("still"), ["--config", "none", "--on-change", "none", "--subscriber", "still"]);
  await using witness = exec(loop("witness"), ["--config", "none", "--subscriber", "witness"]);
  await eventually("both run", async () => (await lines("still")).length + (await lines("witness")).length === 2);
  await release("none", "v: 2");
  await eventually("the witness was restarted", async () => (await lines("witness")).join() === "1,2");
  const set = { namespace: "default", app: "none", profile: "default" };
  await eventually("the witness says so", async () => (await client.config.acknowledgements(set)).applied === 1);
  const { releaseKey, subscribers } = await client.config.acknowledgements(set);
  const current = subscribers.filter((one) => one.releaseKey === releaseKey).map(({ subscriber }) => subscriber);
  expect(current).toEqual(["witness"]);
  expect(await lines("still")).toEqual(["1"]);
  expect(still.child.exitCode).toBeNull();
  still.kill("SIGTERM");
  witness.kill("SIGTERM");
  expect((await still.exited).code).toBe(0);
});

test("a splay spreads the restarts of many", async () => {
  await release("splay", "v: 1");
  const script = `echo "$V $(date +%s%N)" >> splay; trap "exit 0" TERM; while :; do sleep 0.05; done`;
  const programs = Array.from({ length: 4 }, () => exec(script, ["--config", "splay", "--splay-seconds", "3"]));
  try {
    await eventually("all run", async () => (await lines("splay")).length === 4);
    await release("splay", "v: 2");
    await eventually("all were restarted", async () => (await lines("splay")).length === 8);
    const seconds = (await lines("splay"))
      .filter((line) => line.startsWith("2 "))
      .map((line) => Number(line.split(" ")[1]) / 1e9);
    expect(seconds).toHaveLength(4);
    expect(Math.max(...seconds) - Math.min(...seconds)).toBeGreaterThan(0.1);
  } finally {
    // Killed by force they would leave their commands behind.
    for (const program of programs) program.kill("SIGTERM");
    await Promise.all(programs.map(({ exited }) => exited));
  }
}, 300_000);

test("with the agent alone it starts while the control plane is away, and outlives a restart of the agent", async () => {
  await using home = await tempFolder();
  const [apiPort, agentPort] = [await freePort(), await freePort()];
  const serverArgs = ["--roles", "registry", "config-server", "--dns", "off", "--port", String(apiPort)];
  const startServer = () => startPosthouse({ data: join(home.path, "server"), args: serverArgs });
  await using first = await startServer();
  const token = first.token ?? "";
  const agentArgs = [
    "--roles",
    "agent",
    "--dns",
    "off",
    "--agent-port",
    String(agentPort),
    "--control-urls",
    first.api,
  ];
  const startAgent = () => startPosthouse({ data: join(home.path, "agent"), args: [...agentArgs, "--token", token] });
  await using agent = await startAgent();
  await using own = fetchTransport({ urls: [first.api] });
  const plane = new Client(testHost(), { transport: own, token });
  const set = { namespace: "default", app: "web", profile: "default" };
  const publish = (value: string) => plane.config.publish(set, { items: { "a.yaml": { format: "yaml", value } } });
  await publish("v: 1");
  const start = (name: string, ...command: string[]) =>
    startProgram(
      "bin/posthouse",
      ["agent", "exec", "--config", "web", "--subscriber", name, "--quiet-seconds", "0.1", ...command],
      {
        environment: { POSTHOUSE_AGENT_PORT: String(agentPort), POSTHOUSE_DATA: join(home.path, "agent") },
        cwd: home.path,
      },
    );
  const script = `echo "$V" >> seen; trap "exit 5" TERM INT; while :; do sleep 0.05; done`;
  await using program = start("long", "--", "sh", "-c", script);
  const seen = async () =>
    (await readFile(join(home.path, "seen"), "utf8").catch(() => "")).split("\n").filter(Boolean);
  await eventually("it runs", async () => (await seen()).join() === "1");
  const applied = async (names: string[]) => {
    const { releaseKey, subscribers } = await plane.config.acknowledgements(set);
    const current = subscribers.filter((one) => one.releaseKey === releaseKey && one.outcome === "applied");
    return names.every((name) => current.some(({ subscriber }) => subscriber === name));
  };
  await eventually("it is said", () => applied(["long"]));
  const kept = join(home.path, "agent", "agent", "agent.json");
  await eventually("the agent keeps it", async () => (await readFile(kept, "utf8")).includes("v: 1"));

  first.kill();
  await first.exited;
  await using other = start("short", "--", "sh", "-c", `echo "$V"; exit 3`);
  expect(await other.exited).toEqual({ code: 3, signal: null });
  expect(other.output()).toBe("1\n");
  agent.kill();
  await agent.exited;
  await eventually("it says that the agent is away", () =>
    program.errors().includes(`No answer from http://127.0.0.1:${agentPort}`),
  );
  await using again = await startAgent();
  expect(again.child.exitCode).toBeNull();
  await using second = await startServer();
  expect(second.api).toBe(first.api);
  expect(await seen()).toEqual(["1"]);
  await publish("v: 2");
  await eventually("it was restarted with the next", async () => (await seen()).join() === "1,2");
  await eventually("that is said, too", () => applied(["long"]));

  // Agent and control plane are stopped and start again: the command goes on, and follows what is released then.
  await using third = await restartBySigterm(again);
  await using last = await restartBySigterm(second);
  expect([third.child.exitCode, last.api]).toEqual([null, first.api]);
  await publish("v: 3");
  await eventually("it was restarted once more", async () => (await seen()).join() === "1,2,3");
  program.kill("SIGTERM");
  expect(await program.exited).toEqual({ code: 5, signal: null });
}, 300_000);

test("where the agent speaks TLS, a command uses its socket, or its port with the authority that it verifies", async () => {
  await using home = await tempFolder();
  const agentPort = await freePort();
  const roles = ["--roles", "registry", "config-server", "agent", "--dns", "off", "--tls", "on"];
  const args = [...roles, "--agent-port", String(agentPort)];
  await using secure = await startPosthouse({ data: home.path, args });
  const fingerprint = /^ {2}fingerprint +([0-9a-f]{64})/m.exec(secure.output())?.[1] ?? "";
  await using calls = fetchTransport({ urls: [secure.api], tls: { fingerprint } });
  const there = new Client(testHost(), { transport: calls, token: secure.token ?? "" });
  const name = { namespace: "default", app: "web", profile: "default" };
  await there.config.publish(name, { items: { "app.yaml": { format: "yaml", value: "greeting: hello" } } });
  const run = (...options: readonly string[]) =>
    startProgram(
      "bin/posthouse",
      ["exec", "--config", "web", ...options, "--wait", "60", "--", "printenv", "GREETING"],
      {
        cwd: home.path,
      },
    );
  const port = ["--agent-port", String(agentPort), "--tls", "on", "--control-fingerprint", fingerprint];
  for (const options of [
    ["--data", home.path],
    ["--data", home.path, ...port],
  ]) {
    await using program = run(...options);
    expect(await program.exited, program.errors()).toEqual({ code: 0, signal: null });
    expect(program.output()).toBe("hello\n");
  }
  // Another authority is not trusted, so the command never gets its config, and the agent never gets the token.
  const wrong = [...port.slice(0, -1), fingerprint.replace(/^./, (digit) => (digit === "0" ? "1" : "0"))];
  await using distrusting = run("--data", home.path, ...wrong);
  await eventually("the command reports it", () => distrusting.errors().includes(fingerprint));
  expect(distrusting.output()).toBe("");
});
