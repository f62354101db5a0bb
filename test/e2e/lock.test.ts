/** `posthouse lock` as real processes: signals, exit codes, and a holder that is killed. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Client, fetchTransport } from "#client";
import {
  call,
  eventually,
  restartByKill,
  restartBySigterm,
  startPosthouse,
  startProgram,
  tempFolder,
  testHost,
  withEtcd,
  type Posthouse,
  type Program,
  type TempFolder,
} from "#test/kit";

let folder: TempFolder;
let posthouse: Posthouse;

beforeAll(async () => {
  folder = await tempFolder();
  const args = ["--store", "memory", "--roles", "registry", "config-server", "--dns", "off"];
  posthouse = await startPosthouse({ data: join(folder.path, "data"), args });
});
afterAll(async () => {
  await posthouse[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

/** `posthouse lock NAME … -- sh -c SCRIPT`. */
function lock(name: string, script: string, args: readonly string[] = []): Program {
  return startProgram("bin/posthouse", ["lock", name, ...args, "--", "sh", "-c", script], {
    environment: { POSTHOUSE_CONTROL_URLS: posthouse.api, POSTHOUSE_TOKEN: posthouse.token ?? "" },
    cwd: folder.path,
  });
}

const lines = async (file: string): Promise<string[]> =>
  (await readFile(join(folder.path, file), "utf8").catch(() => "")).split("\n").filter(Boolean);
const seen = async (name: string) => (await call(`${posthouse.api}/v1/locks/${name}`, { token: posthouse.token })).json;

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Ends what a killed `posthouse lock` could not. */
function reap(pid: number): void {
  if (alive(pid)) process.kill(-pid, "SIGKILL");
}

test("the command runs with its own exit code, knows the token, and the lock is free afterwards", async () => {
  await using program = lock("code", `echo "$LOCK_NAME $LOCK_TOKEN"; exit 7`, ["--value", "me"]);
  expect(await program.exited).toEqual({ code: 7, signal: null });
  expect(program.output()).toMatch(/^code \d+\n$/);
  expect(program.errors()).toBe("");
  expect(await seen("code")).toEqual({
    namespace: "default",
    name: "code",
    revision: expect.any(Number),
    waiting: 0,
    waiters: [],
  });
});

test("commands on one lock run one after the other, in the order of asking", async () => {
  const script = (name: string) => `echo "in ${name}" >> order; sleep 0.1; echo "out ${name}" >> order`;
  await using first = lock("order", `until [ -e go ]; do sleep 0.02; done; ${script("a")}`);
  await eventually("a holds it", async () => (await seen("order"))["holder"] !== undefined);
  await using second = lock("order", script("b"));
  await eventually("b waits", async () => (await seen("order"))["waiting"] === 1);
  await using third = lock("order", script("c"));
  await eventually("c waits", async () => (await seen("order"))["waiting"] === 2);
  await writeFile(join(folder.path, "go"), "");
  for (const program of [first, second, third]) expect((await program.exited).code).toBe(0);
  expect(await lines("order")).toEqual(["a", "b", "c"].flatMap((name) => [`in ${name}`, `out ${name}`]));
});

test("a holder that is killed loses the lock after its session's time and the delay, and not before", async () => {
  const args = ["--session-seconds", "2", "--delay-seconds", "2"];
  await using first = lock("killed", `echo $$ $LOCK_TOKEN > first; exec sleep 60`, args);
  const [pid = 0, token = 0] = await eventually("the first is at work", async () =>
    (await lines("first"))[0]?.split(" ").map(Number),
  );
  try {
    await using second = lock("killed", `echo $LOCK_TOKEN > second`);
    await eventually("the second waits", async () => (await seen("killed"))["waiting"] === 1);
    const killedMs = performance.now();
    first.kill("SIGKILL");
    await first.exited;
    expect((await second.exited).code).toBe(0);
    // At most a third of the session's two seconds had passed since the last heartbeat; the delay comes after.
    expect(performance.now() - killedMs).toBeGreaterThanOrEqual(2_000);
    expect(Number((await lines("second"))[0])).toBeGreaterThan(token);
    // A killed process cannot end its command: the lock delay covers that, and the token covers a command that outlives
    // the delay.
    expect(alive(pid)).toBe(true);
  } finally {
    reap(pid);
  }
});

test("a command whose lock is broken is ended with all that it started", async () => {
  const script = `trap '' TERM; sleep 60 & echo $$ $! > broken; wait; sleep 60`;
  await using program = lock("broken", script, ["--grace-seconds", "0.2"]);
  const [pid = 0, inner = 0] = await eventually("at work", async () =>
    (await lines("broken"))[0]?.split(" ").map(Number),
  );
  try {
    const done = await call(`${posthouse.api}/v1/locks/broken/break`, {
      method: "POST",
      token: posthouse.token,
      body: { reason: "to see it end" },
    });
    expect(done.status).toBe(200);
    expect(await program.exited).toEqual({ code: 75, signal: null });
    await eventually("all of it ended", () => !alive(pid) && !alive(inner));
    expect(program.errors()).toContain('lock "broken", or an operator broke it.');
  } finally {
    reap(pid);
  }
});

test("a signal is handed on, and the code says which one ended the command", async () => {
  await using caught = lock("signals", `trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.05; done`);
  await eventually("ready", () => caught.output().includes("ready"));
  caught.kill("SIGTERM");
  expect(await caught.exited).toEqual({ code: 3, signal: null });
  expect(caught.output()).toContain("caught");
  await using fatal = lock("signals", `echo ready; exec sleep 60`);
  await eventually("ready", () => fatal.output().includes("ready"));
  fatal.kill("SIGINT");
  expect(await fatal.exited).toEqual({ code: 130, signal: null });
  expect((await seen("signals"))["holder"]).toBeUndefined();
});

test("a waiter gives up at its timeout or on a signal, without having run anything", async () => {
  await using holder = lock("busy", `echo ready; exec sleep 60`);
  await eventually("ready", () => holder.output().includes("ready"));
  await using impatient = lock("busy", `echo never`, ["--wait-seconds", "0.3"]);
  expect(await impatient.exited).toEqual({ code: 75, signal: null });
  expect(impatient.errors()).toContain('lock "busy" was not acquired within 0.3 s');
  await using ended = lock("busy", `echo never`);
  await eventually("it waits", async () => (await seen("busy"))["waiting"] === 1);
  ended.kill("SIGTERM");
  expect(await ended.exited).toEqual({ code: 143, signal: null });
  expect(impatient.output() + ended.output()).toBe("");
  expect((await seen("busy"))["waiting"]).toBe(0);
  holder.kill("SIGTERM");
  expect(await holder.exited).toEqual({ code: 143, signal: null });
});

test(
  "a holder keeps its lock, and a waiter its place, while the server is stopped, killed and started again",
  { timeout: 300_000 },
  async () => {
    const args = ["--roles", "registry", "config-server", "--dns", "off"];
    await using first = await startPosthouse({ data: join(folder.path, "durable"), args });
    const { token = "" } = first;
    const start = (script: string) =>
      startProgram("bin/posthouse", ["lock", "durable", "--session-seconds", "60", "--", "sh", "-c", script], {
        environment: { POSTHOUSE_CONTROL_URLS: first.api, POSTHOUSE_TOKEN: token },
        cwd: folder.path,
      });
    await using holder = start(`echo "$LOCK_TOKEN"; until [ -e durable-go ]; do sleep 0.05; done`);
    const fence = await eventually("it holds", () => /^\d+$/m.exec(holder.output())?.[0]);
    await using waiter = start(`echo "$LOCK_TOKEN"`);
    const state = async (api: string) => (await call(`${api}/v1/locks/durable`, { token })).json;
    await eventually("another waits", async () => (await state(first.api))["waiting"] === 1);
    const same = ({ api }: Posthouse) =>
      eventually("it is as before", async () => {
        const { holder: held, waiting } = await state(api);
        return String((held as { token: number } | undefined)?.token) === fence && waiting === 1;
      });
    await using stopped = await restartBySigterm(first);
    await same(stopped);
    await using killed = await restartByKill(stopped);
    await same(killed);
    expect(holder.child.exitCode).toBeNull();
    await writeFile(join(folder.path, "durable-go"), "");
    expect((await holder.exited).code).toBe(0);
    expect((await waiter.exited).code).toBe(0);
    expect(Number(waiter.output())).toBeGreaterThan(Number(fence));
  },
);

test("wrong usage, a missing token and a missing command say what to do", async () => {
  const run = (args: readonly string[], token?: string) =>
    startProgram("bin/posthouse", ["lock", ...args], {
      environment: {
        POSTHOUSE_CONTROL_URLS: posthouse.api,
        ...(token === undefined ? {} : { POSTHOUSE_TOKEN: token }),
      },
      cwd: folder.path,
    });
  await using nothing = run(["name"]);
  expect((await nothing.exited).code).toBe(2);
  await using soon = run(["name", "--wait-seconds", "soon", "--", "true"]);
  expect((await soon.exited).code).toBe(2);
  await using stranger = run(["name", "--", "true"]);
  expect((await stranger.exited).code).toBe(4);
  expect(stranger.errors()).toContain("POSTHOUSE_TOKEN");
  await using malformed = run(["a//b", "--", "true"], posthouse.token);
  expect((await malformed.exited).code).toBe(2);
  expect(malformed.errors()).toContain("HTTP_INVALID");
  await using absent = run(["name", "--", "there-is-no-such-command"], posthouse.token);
  expect((await absent.exited).code).toBe(127);
});

test("over etcd, a waiter whose server is killed keeps its place, and has its turn on another server", async () => {
  await using data = await tempFolder();
  await using etcd = await withEtcd();
  const args = [
    "--roles",
    "registry",
    "config-server",
    "--dns",
    "off",
    "--store",
    "etcd",
    "--etcd-urls",
    etcd.endpoint,
  ];
  await using one = await startPosthouse({ data: join(data.path, "one"), args });
  await using two = await startPosthouse({ data: join(data.path, "two"), args });
  const { token } = one;
  const ref = { namespace: "default", name: "orders/leader" };
  await using near = fetchTransport({ urls: [one.api] });
  await using far = fetchTransport({ urls: [two.api, one.api] });
  const first = await new Client(testHost({ seed: 1 }), { transport: near, token }).lock(ref);
  const client = new Client(testHost({ seed: 2 }), { transport: far, token });
  const second = client.lock(ref);
  const waiters = async () => (await client.locks.get(ref)).waiters.map(({ session }) => session);
  const [session] = await eventually("it waits", async () =>
    (await waiters()).length === 1 ? await waiters() : undefined,
  );
  const third = new Client(testHost({ seed: 3 }), { transport: near, token }).lock(ref);
  await eventually("the third waits behind", async () => (await waiters()).length === 2);
  two.kill("SIGKILL");
  await two.exited;
  await first.release();
  const held = await second;
  expect([held.session, held.signal.aborted]).toEqual([session, false]);
  expect(held.token).toBeGreaterThan(first.token);
  await held.release();
  const last = await third;
  expect(last.token).toBeGreaterThan(held.token);
  await last.release();
});
