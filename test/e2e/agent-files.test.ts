/** Files under faults, with the agent as a real process: killed in the middle of writes, a full disk, a server that is away. */
import { execFile } from "node:child_process";
import { cp, mkdir, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { Client, fetchTransport } from "#client";
import { call, eventually, freePort, startPosthouse, tempFolder, testHost, type Posthouse } from "#test/kit";

const run = promisify(execFile);
const WEB = { namespace: "default", app: "web", profile: "default" };

interface Host extends AsyncDisposable {
  readonly folder: string;
  readonly client: Client;
  agent: Posthouse;
  startAgent(): Promise<void>;
  startServer(): Promise<void>;
  stopServer(ending?: NodeJS.Signals): Promise<void>;
  /** While it is stopped: keeps a copy of its store, or puts that back. */
  copyStore(what: "keep" | "restore"): Promise<void>;
  release(items: Record<string, string>): Promise<number>;
  outcome(): Promise<string>;
}

/** A server and an agent with one file entry. */
async function hostWith(file: (folder: string) => object, more: readonly string[] = []): Promise<Host> {
  await using stack = new AsyncDisposableStack();
  const { path: folder } = stack.use(await tempFolder());
  const port = await freePort();
  const control = ["--roles", "registry", "config-server", "--dns", "off", "--port", String(port)];
  const startServer = async () => owned.use(await startPosthouse({ data: join(folder, "server"), args: control }));
  const services = join(folder, "services");
  await mkdir(services);
  await writeFile(join(services, "files.yaml"), JSON.stringify({ file: file(folder) }));
  let owned = stack;
  let server = await startServer();
  const token = server.token ?? "";
  const url = `http://127.0.0.1:${port}`;
  const client = new Client(testHost(), { transport: stack.use(fetchTransport({ urls: [url] })), token });
  const args = ["--roles", "agent", "--dns", "off", "--agent-services", services, "--agent-name", "host-a"];
  const startAgent = async () =>
    owned.use(
      await startPosthouse({
        data: join(folder, "agent"),
        args: [...args, "--control-urls", url, "--token", token, ...more],
      }),
    );
  const agent = await startAgent();
  owned = stack.move();
  const self: Host = {
    folder,
    client,
    agent,
    async startAgent() {
      self.agent = await startAgent();
    },
    async startServer() {
      server = await startServer();
    },
    async stopServer(ending = "SIGKILL") {
      server.kill(ending);
      await server.exited;
    },
    async copyStore(what) {
      const [store, kept] = [join(folder, "server"), join(folder, "kept")];
      const [from, to] = what === "keep" ? [store, kept] : [kept, store];
      await rm(to, { recursive: true, force: true });
      await cp(from, to, { recursive: true });
    },
    async release(items) {
      const released = Object.entries(items).map(([key, value]) => [key, { format: "text", value }] as const);
      return (await client.config.publish(WEB, { items: Object.fromEntries(released) })).version;
    },
    async outcome() {
      const { releaseKey, subscribers } = await client.config.acknowledgements(WEB);
      const mine = subscribers.find(({ subscriber }) => subscriber === "host-a");
      return mine?.releaseKey === releaseKey ? `${mine.outcome} ${mine.error ?? ""}`.trim() : "behind";
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
  return self;
}

test("an agent killed again and again in the middle of writes leaves one whole release, never a part or an older one", async () => {
  await using host = await hostWith((folder) => ({
    app: "web",
    path: join(folder, "out"),
    template: { key: "t", sets: {} },
  }));
  // A megabyte of one number, through a template.
  const value = (n: number) => `${String(n).padStart(7, "0")}\n`.repeat(60_000);
  const path = join(host.folder, "out");
  const seen = async () => {
    const text = await readFile(path, "utf8");
    const n = Number(text.slice(0, 7));
    expect(text === value(n), `${text.length} characters that begin with ${n}`).toBe(true);
    return n;
  };
  let n = 1;
  await host.release({ t: "{{v}}", v: value(n) });
  await eventually("it is there", seen);
  for (let round = 0; round < 6; round++) {
    let last = await seen();
    const reading = (async () => {
      while (!host.agent.child.killed) {
        const now = await seen();
        expect(now).toBeGreaterThanOrEqual(last);
        last = now;
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    for (let i = 0; i < 3; i++) await host.release({ t: "{{v}}", v: value(++n) });
    await new Promise((resolve) => setTimeout(resolve, round * 7));
    host.agent.kill();
    await host.agent.exited;
    await reading;
    const left = await seen();
    await host.startAgent();
    await eventually("the last one is there", async () => {
      const now = await seen();
      expect(now).toBeGreaterThanOrEqual(left);
      return now === n;
    });
  }
  await eventually("it is applied", async () => (await host.outcome()) === "applied");
  expect((await readdir(host.folder)).filter((name) => name.startsWith(".out"))).toEqual([]);
}, 300_000);

test("killed in the middle of writes in place, the agent makes the file whole at its next start, in the same inode", async () => {
  await using host = await hostWith((folder) => ({
    app: "web",
    path: join(folder, "out"),
    template: { key: "t", sets: {} },
    write: "in-place",
  }));
  const value = (n: number) => `${String(n).padStart(7, "0")}\n`.repeat(60_000);
  const path = join(host.folder, "out");
  await host.release({ t: "{{v}}", v: value(1) });
  await eventually("it is there", async () => (await readFile(path, "utf8")) === value(1));
  const { ino } = await stat(path);
  let n = 1;
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 3; i++) await host.release({ t: "{{v}}", v: value(++n) });
    await new Promise((resolve) => setTimeout(resolve, round * 7));
    host.agent.kill();
    await host.agent.exited;
    await host.startAgent();
    await eventually("it is whole", async () => (await readFile(path, "utf8")) === value(n));
    expect((await stat(path)).ino).toBe(ino);
  }
  await eventually("it is applied", async () => (await host.outcome()) === "applied");
}, 300_000);

const mayMount = process.getuid?.() === 0 && process.platform === "linux";

test("a full disk and a read-only one keep the old file, are reported, and recover", async () => {
  await using stack = new AsyncDisposableStack();
  const { path: disk } = stack.use(await tempFolder());
  if (mayMount) {
    const mounted = await run("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", disk]).catch(() => undefined);
    if (mounted) stack.defer(async () => void (await run("umount", ["-l", disk])));
  }
  const isMounted = (await readFile("/proc/mounts", "utf8").catch(() => "")).includes(` ${disk} `);
  await using host = await hostWith(() => ({ app: "web", key: "a", path: join(disk, "sub", "out") }));
  await mkdir(join(disk, "sub"));
  const out = () => readFile(join(disk, "sub", "out"), "utf8").catch(() => "");
  await host.release({ a: "first" });
  await eventually("it is written", async () => (await out()) === "first");
  const refused = async (value: string, why: string) => {
    await host.release({ a: value });
    await eventually(`the failure is acknowledged: ${why}`, async () => (await host.outcome()).startsWith("failed"));
    expect(await host.outcome()).toContain(why);
    const { json } = await call(`${host.agent.agent}/v1/agent/status`, { token: host.agent.agentToken });
    expect(json["problems"]).toMatchObject([{ code: "AGENT_FILE_NOT_WRITTEN", detail: expect.stringContaining(why) }]);
    expect(await out()).toBe("first");
    expect(await readdir(join(disk, "sub"))).toEqual(["out"]);
  };
  if (!isMounted) {
    // Without the right to mount, the folder is what can be broken.
    await run("mv", [join(disk, "sub"), join(disk, "away")]);
    await host.release({ a: "second" });
    await eventually("the failure is acknowledged", async () => (await host.outcome()).includes("ENOENT"));
    await run("mv", [join(disk, "away"), join(disk, "sub")]);
    await eventually("it is written", async () => (await out()) === "second");
    return;
  }
  await writeFile(join(disk, "filler"), "x".repeat(200 * 1024));
  await refused("y".repeat(100 * 1024), "the disk is full (ENOSPC)");
  await run("rm", [join(disk, "filler")]);
  await eventually("it recovers", async () => (await host.outcome()) === "applied");
  expect(await out()).toBe("y".repeat(100 * 1024));
  await host.release({ a: "first" });
  await eventually("it is written", async () => (await out()) === "first");
  await run("mount", ["-o", "remount,ro", disk]);
  await refused("second", "the file system is read-only (EROFS)");
  await run("mount", ["-o", "remount,rw", disk]);
  await eventually("it recovers again", async () => (await host.outcome()) === "applied");
  expect(await out()).toBe("second");
});

test("while the server is away a removed file comes back from what is known, and what was missed arrives later", async () => {
  await using host = await hostWith((folder) => ({ app: "web", key: "a", path: join(folder, "out") }));
  const out = () => readFile(join(host.folder, "out"), "utf8").catch(() => "");
  await host.release({ a: "first" });
  await eventually("it is applied", async () => (await host.outcome()) === "applied");
  const kept = join(host.folder, "agent", "agent", "agent.json");
  await eventually("it is kept for a restart", async () => (await readFile(kept, "utf8")).includes('"first"'));
  await host.stopServer();
  host.agent.kill();
  await host.agent.exited;
  await run("rm", [join(host.folder, "out")]);
  await host.startAgent();
  await eventually("it is written again", async () => (await out()) === "first");
  await host.startServer();
  await host.release({ a: "second" });
  await eventually("the next arrives", async () => (await out()) === "second");
  await eventually("and is acknowledged under the new session", async () => (await host.outcome()) === "applied");

  // A stop of either is as harmless as the kill.
  expect(await host.agent.stop()).toEqual({ code: 0, signal: null });
  await host.stopServer("SIGTERM");
  await host.startServer();
  await host.release({ a: "third" });
  await host.startAgent();
  await eventually("the release made meanwhile arrives", async () => (await out()) === "third");
  await eventually("and is acknowledged", async () => (await host.outcome()) === "applied");
});

test("a server restored from an old copy changes no file, until it has released something newer", async () => {
  await using host = await hostWith((folder) => ({ app: "web", key: "a", path: join(folder, "out") }));
  const out = () => readFile(join(host.folder, "out"), "utf8").catch(() => "");
  const codes = async () => {
    const { json } = await call(`${host.agent.agent}/v1/agent/status`, { token: host.agent.agentToken });
    return (json["problems"] as { code: string }[]).map(({ code }) => code);
  };
  await host.release({ a: "first" });
  await eventually("it is written", async () => (await out()) === "first");
  await host.stopServer();
  await host.copyStore("keep");
  await host.startServer();
  for (const value of ["second", "third"]) await host.release({ a: value });
  await eventually("the newest is written", async () => (await out()) === "third");
  await host.stopServer();
  await host.copyStore("restore");
  await host.startServer();
  await eventually("it is shown", async () => (await codes()).includes("AGENT_CONFIG_OLDER"));
  expect(await out()).toBe("third");
  // Until the restored store has passed the revision that this host knows, its releases count as old.
  await eventually("the newer release is applied", async () => {
    await host.release({ a: "fourth" });
    return (await out()) === "fourth";
  });
  await eventually("nothing is wrong any more", async () => (await codes()).length === 0);
});
