/**
 * Members of the control plane that are alive but do not work, and the absence of all of them: two control APIs over a real etcd of
 * three members, an agent with two services and a gateway in processes of their own. Whatever happens, no request through the
 * gateway fails, no instance is lost that lived throughout, and news goes on while one member is well.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { Client, fetchTransport } from "#client";
import {
  call,
  cuttingProxy,
  eventually,
  freePort,
  startPosthouse,
  startService,
  tempFolder,
  testHost,
  withEtcdCluster,
  type CuttingProxy,
  type Posthouse,
  type TestEtcd,
} from "#test/kit";

/** Longest gap of news while one member is well, in milliseconds, beyond what news takes on its straight way at that time. */
const GAP_MS_MAX = 5_000;

interface World extends AsyncDisposable {
  readonly etcd: readonly TestEtcd[];
  readonly token: string;
  /** By member: its ways to etcd. */
  readonly ways: readonly (readonly CuttingProxy[])[];
  readonly apis: readonly string[];
  readonly gateway: Posthouse;
  member(index: number): Posthouse;
  startMember(index: number): Promise<void>;
  /** Requests through the gateway that were not answered with 200, and why. */
  readonly failed: readonly string[];
  requests(): number;
  /** Moments at which a member that is well did not list both instances. */
  readonly lost: readonly string[];
  /** From which members instances are looked for; none while all are away. */
  looksAt(indexes: readonly number[]): void;
}

async function openWorld({ sessionSeconds }: { sessionSeconds: number }): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const { path: folder } = stack.use(await tempFolder());
  const etcd = await withEtcdCluster(3);
  for (const one of etcd) stack.use(one);
  const ways = await Promise.all(
    [0, 1].map(() => Promise.all(etcd.map(({ endpoint }) => cuttingProxy(Number(new URL(endpoint).port))))),
  );
  for (const way of ways.flat()) stack.use(way);
  const ports = [await freePort(), await freePort()];
  const apis = ports.map((port) => `http://127.0.0.1:${port}`);
  const members: Posthouse[] = [];
  const startMember = async (index: number) => {
    const urls = (ways[index] ?? []).map(({ port }) => `http://127.0.0.1:${port}`);
    const args = ["--roles", "registry", "config-server", "--port", String(ports[index]), "--store", "etcd"];
    members[index] = await startPosthouse({
      data: join(folder, `api${index}`),
      args: [...args, "--store-start-seconds", "30", "--etcd-urls", ...urls],
    });
  };
  stack.defer(async () => {
    for (const member of members) {
      member.kill("SIGCONT");
      await member[Symbol.asyncDispose]();
    }
  });
  await startMember(0);
  const token = members[0]?.token as string;
  await startMember(1);
  const remote = ["--control-urls", ...apis, "--token", token];
  const services = [stack.use(await startService("orders")), stack.use(await startService("orders"))];
  const definitions = join(folder, "definitions");
  await mkdir(definitions);
  const checks = [{ id: "http", type: "http", path: "/health", intervalSeconds: 1 }];
  await writeFile(
    join(definitions, "orders.yaml"),
    JSON.stringify({ services: services.map(({ port }) => ({ name: "orders", port, checks })) }),
  );
  const agentArgs = ["--roles", "agent", "--agent-services", definitions, "--agent-session-seconds"];
  stack.use(
    await startPosthouse({ data: join(folder, "agent"), args: [...agentArgs, String(sessionSeconds), ...remote] }),
  );
  const gateway = stack.use(
    await startPosthouse({ data: join(folder, "gateway"), args: ["--roles", "gateway", ...remote] }),
  );
  const routes = { routes: [{ name: "orders", match: { path: { prefix: "/" } }, service: "orders" }] };
  const items = { "gateway.yaml": { format: "yaml", value: JSON.stringify(routes) } };
  const body = { items };
  expect(
    (await call(`${apis[0]}/v1/config/default/gateway/default/releases`, { method: "POST", token, body })).status,
  ).toBe(201);
  const statuses = async (api: string) => {
    const { json } = await call(`${api}/v1/services/orders/instances`, { token });
    return ((json["instances"] ?? []) as { status: string }[]).map(({ status }) => status);
  };
  for (const api of apis) await eventually("both pass", async () => (await statuses(api)).join() === "passing,passing");
  await eventually("the route works", async () => (await call(`${gateway.gateway}/x`)).status === 200);

  const stop = new AbortController();
  const failed: string[] = [];
  const lost: string[] = [];
  let requests = 0;
  let looked: readonly number[] = [];
  const loop = async (ms: number, work: () => Promise<void>) => {
    while (!stop.signal.aborted) {
      await work();
      await sleep(ms, undefined, { signal: stop.signal }).catch(() => {});
    }
  };
  const loops = [
    loop(200, async () => {
      requests++;
      const { status, text } = await call(`${gateway.gateway}/x`).catch((error: unknown) => ({
        status: 0,
        text: String(error),
      }));
      if (status !== 200) failed.push(`${new Date().toISOString()} ${status} ${text}`);
    }),
    loop(500, async () => {
      for (const index of looked) {
        const found = await statuses(apis[index] as string).catch((error: unknown) => String(error));
        // The answer of a member that went away meanwhile no longer counts.
        if (!looked.includes(index)) continue;
        if (String(found) !== "passing,passing")
          lost.push(`${new Date().toISOString()} member ${index}: ${String(found)}`);
      }
    }),
  ];
  stack.defer(async () => {
    stop.abort();
    await Promise.all(loops);
  });
  const owned = stack.move();
  return {
    etcd,
    token,
    ways,
    apis,
    gateway,
    member: (index) => members[index] as Posthouse,
    startMember,
    failed,
    requests: () => requests,
    lost,
    looksAt: (indexes) => void (looked = indexes),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Longest times that news took, in milliseconds; `straight` is a watch at the writer, which says how busy the machine is. */
interface Gaps {
  watch: number;
  gateway: number;
  straight: number;
}

const late = ({ watch, gateway, straight }: Gaps) => Math.max(watch, gateway) - straight;

/**
 * The longest time that news takes while `during` runs: changes are written to the member `writer`, which is well, and a watch and the
 * gateway, which begin at the other one, must see each.
 */
async function longestGap(world: World, writer: number, during: () => Promise<void>): Promise<Gaps> {
  const { token, apis, gateway } = world;
  const stop = new AbortController();
  // It begins at the member that will fail.
  await using transport = fetchTransport({ urls: [apis[1 - writer] as string, apis[writer] as string] });
  const client = new Client(testHost(), { transport, token });
  await using direct = fetchTransport({ urls: [apis[writer] as string] });
  const source = new Client(testHost(), { transport: direct, token });
  const gaps: Gaps = { watch: 0, gateway: 0, straight: 0 };
  const pending = {
    watch: new Map<number, number>(),
    gateway: new Map<number, number>(),
    straight: new Map<number, number>(),
  };
  const seen = (who: keyof Gaps, revision: number) => {
    const nowMs = performance.now();
    for (const [written, atMs] of pending[who]) {
      // Changes that have not been seen yet are late by now, too.
      gaps[who] = Math.max(gaps[who], nowMs - atMs);
      if (written <= revision) pending[who].delete(written);
    }
  };
  let watched = 0;
  const loops = [
    (async () => {
      for await (const { revision, event } of client.registry.watch({ namespace: "default" }, { signal: stop.signal }))
        if (event !== "reset" && event !== "snapshot") seen("watch", (watched = Math.max(watched, revision)));
    })(),
    (async () => {
      for await (const { revision, event } of source.registry.watch({ namespace: "default" }, { signal: stop.signal }))
        if (event !== "reset" && event !== "snapshot") seen("straight", revision);
    })(),
    (async () => {
      for (let port = 1; !stop.signal.aborted; port++) {
        const name = { namespace: "default", service: "news", id: "n" };
        const atMs = performance.now();
        const { revision } = await source.registry.register(name, { address: "127.0.0.1", port });
        pending.watch.set(revision, atMs);
        pending.gateway.set(revision, atMs);
        pending.straight.set(revision, atMs);
        await sleep(200, undefined, { signal: stop.signal }).catch(() => {});
      }
    })(),
    (async () => {
      while (!stop.signal.aborted) {
        const { text } = await call(`${gateway.operations}/metrics`, { token });
        const [, revision = "0"] = /^posthouse_gateway_catalog_revision(?:\{.*\})? (\d+)$/m.exec(text) ?? [];
        seen("gateway", Number(revision));
        await sleep(200, undefined, { signal: stop.signal }).catch(() => {});
      }
    })(),
  ];
  await eventually("news comes", () => watched > 0);
  await during();
  await eventually("all news has come", async () => {
    seen("watch", watched);
    return [...pending.watch.values(), ...pending.gateway.values()].every((atMs) => performance.now() - atMs < 2_000);
  });
  stop.abort();
  await Promise.all(loops);
  return gaps;
}

const readyz = async (world: World, index: number) => (await call(`${world.apis[index]}/readyz`)).status;

/** Shown in the report, for the record. */
function report(what: string, world: World, gaps?: Gaps): void {
  const gap = gaps
    ? `longest gap ${Math.round(gaps.watch)} ms in a watch, ${Math.round(gaps.gateway)} ms in the gateway, ${Math.round(gaps.straight)} ms straight; `
    : "";
  console.log(
    `${what}: ${gap}${world.failed.length} of ${world.requests()} requests failed, ${world.lost.length} looks missed an instance`,
  );
}

describe.concurrent("a member that is alive but does not work", () => {
  test(
    "stopped, cut off from etcd, etcd away, and every control API away: news goes on, and nothing is lost",
    { timeout: 600_000 },
    async () => {
      await using world = await openWorld({ sessionSeconds: 10 });
      world.looksAt([1]);
      // Agent, gateway and watch all begin at the first member.
      const stopped = await longestGap(world, 1, async () => {
        world.member(0).kill("SIGSTOP");
        await sleep(15_000);
      });
      world.member(0).kill("SIGCONT");
      report("stopped", world, stopped);
      expect(late(stopped)).toBeLessThan(GAP_MS_MAX);
      expect(world.failed).toEqual([]);
      expect(world.lost).toEqual([]);

      await eventually("it is well again", async () => (await readyz(world, 0)) === 200);
      world.looksAt([0]);
      const cut = await longestGap(world, 0, async () => {
        for (const way of world.ways[1] ?? []) way.cut();
        await eventually("it says that it is not ready", async () => (await readyz(world, 1)) === 503);
        const { headers } = await call(`${world.apis[1]}/v1/services`, { token: world.token });
        expect(Number(headers.get("x-posthouse-data-age-ms"))).toBeGreaterThan(2_000);
        await sleep(12_000);
      });
      for (const way of world.ways[1] ?? []) way.mend();
      report("cut off from etcd", world, cut);
      expect(late(cut)).toBeLessThan(GAP_MS_MAX);
      await eventually("it is well again", async () => (await readyz(world, 1)) === 200);

      for (const one of world.etcd) await one.freeze();
      for (const index of [0, 1]) await eventually("not ready", async () => (await readyz(world, index)) === 503);
      await sleep(12_000);
      for (const one of world.etcd) one.thaw();
      for (const index of [0, 1]) await eventually("ready", async () => (await readyz(world, index)) === 200);
      await sleep(10_000);
      report("etcd away", world);
      expect(world.failed).toEqual([]);
      expect(world.lost).toEqual([]);

      // Every control API away, for several sessions: in this world, as each world costs the time of ten processes.
      await absence(world, 60);
    },
  );

  test(
    "every control API away for three minutes: no request fails, and no instance is missing",
    { timeout: 600_000 },
    async () => {
      await using world = await openWorld({ sessionSeconds: 30 });
      await absence(world, 180);
    },
  );
});

/** Every member dies, and they return one after the other. */
async function absence(world: World, seconds: number): Promise<void> {
  world.looksAt([]);
  for (const index of [0, 1]) world.member(index).kill("SIGKILL");
  await sleep(seconds * 1000);
  await world.startMember(0);
  world.looksAt([0]);
  await world.startMember(1);
  world.looksAt([0, 1]);
  await sleep(5_000);
  report(`away for ${seconds} s`, world);
  expect(world.failed).toEqual([]);
  expect(world.lost).toEqual([]);
  // A member stops at once on a signal, although etcd's connections are open.
  const member = world.member(0);
  world.looksAt([1]);
  member.kill("SIGTERM");
  const said = await eventually("it stops", () => member.output().includes("stopped\n") && performance.now());
  expect(await member.exited).toEqual({ code: 0, signal: null });
  expect(performance.now() - said).toBeLessThan(7_000);
}
