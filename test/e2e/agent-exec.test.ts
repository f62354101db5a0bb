/** `posthouse exec` as real processes: environment from config, restarts and signals on change, exit codes kept. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Client, fetchTransport, type Transport } from "#client";
import {
  eventually,
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
  return startProgram("cli/main.ts", ["exec", ...args, "--quiet-seconds", "0.1", "--", "sh", "-c", script], {
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
  await eventually("both wait", () => [waiting, ended].every((one) => one.errors().includes("yet; waiting")));
  await release("later", "say: hello");
  expect((await waiting.exited).code).toBe(0);
  expect(waiting.output()).toBe("hello\n");
  ended.kill("SIGTERM");
  expect(await ended.exited).toEqual({ code: 143, signal: null });
  expect(ended.output()).toBe("");
});

test("a change restarts the command, also one that ignores SIGTERM, and a signal to us is a signal to it", async () => {
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
  await eventually("it says why not", () => program.errors().includes('"app.yaml" has nothing at v'));
  await release("signal", "v: 3");
  await eventually("it had its signal", async () => (await lines("signals")).length === 2);
  program.kill("SIGTERM");
  expect((await program.exited).code).toBe(0);
  expect(await lines("signals")).toEqual(["up", "again"]);
});
