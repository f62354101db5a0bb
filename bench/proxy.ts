/**
 * The cost of a proxied request, compared with other proxies in one run and in turn: CPU microseconds of the proxy's process per request on
 * one pinned core, latency at a fixed rate, and memory with open connections. Load and upstream are on the other core.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "#test/kit";
import { cpuMicrosOfTree, need, residentMiBOfTree, round, spread } from "./kit.ts";
import { identity, startNginx, startProxies, type Proxy } from "./proxies.ts";

/** `PROXY_ROUNDS=1 PROXY_SECONDS=1` is a smoke run. Its figures are meaningless. */
const ROUNDS = Number(process.env["PROXY_ROUNDS"] ?? 5);
const SECONDS = Number(process.env["PROXY_SECONDS"] ?? 4);
const WARM_SECONDS = Math.min(2, SECONDS);
const CONNECTIONS = 64;
const IDLE_CONNECTIONS = 2_000;
/** Requests per second of the open loop: half the capacity of the slowest of the faster proxies on one core. */
const OPEN_RATE = 5_000;
const PROXY_CORE = 0;
const LOAD_CORE = 1;

interface Measured {
  readonly proxy: Proxy;
  readonly cpu: number[];
  readonly rate: number[];
  readonly openP50: number[];
  readonly openP99: number[];
  failed: number;
  readonly residentMiB: { afterLoad: number; idle: number };
}

/** One turn at full speed; counts responses other than 2xx. */
function wrk({ url, headers }: Proxy, seconds: number): { requests: number; failed: number } {
  const options = headers.flatMap((header) => ["-H", header]);
  const args = ["-c", String(LOAD_CORE), "wrk", "-t1", `-c${CONNECTIONS}`, `-d${seconds}s`, ...options, url];
  const { stdout } = spawnSync("taskset", args, { encoding: "utf8" });
  const number = (pattern: RegExp) => Number(pattern.exec(stdout)?.[1] ?? 0);
  const errors =
    /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(stdout)?.slice(1).map(Number) ?? [];
  return {
    requests: number(/(\d+) requests in/),
    failed: number(/Non-2xx or 3xx responses: (\d+)/) + errors.reduce((sum, count) => sum + count, 0),
  };
}

/** One turn at a fixed rate. */
async function openLoop({ url, headers }: Proxy): Promise<{ p50: number; p99: number; failed: number }> {
  const args = [join(import.meta.dirname, "open-loop.ts"), url, OPEN_RATE, SECONDS, CONNECTIONS, ...headers];
  const child = spawn("taskset", ["-c", String(LOAD_CORE), process.execPath, ...args.map(String)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  await once(child, "close");
  return JSON.parse(text) as { p50: number; p99: number; failed: number };
}

/** Memory with a number of open connections that each had one response. */
async function idleMemory({ url, headers, running }: Proxy): Promise<number> {
  const { hostname, port, pathname, host } = new URL(url);
  const request = [`GET ${pathname} HTTP/1.1`, `host: ${host}`, ...headers, "", ""].join("\r\n");
  const sockets: Socket[] = [];
  try {
    for (let i = 0; i < IDLE_CONNECTIONS; i += 100) {
      const batch = Array.from({ length: 100 }, () => connect(Number(port), hostname));
      sockets.push(...batch);
      await Promise.all(
        batch.map((socket) => {
          socket.on("error", () => {});
          socket.write(request);
          return Promise.race([once(socket, "data"), once(socket, "close")]);
        }),
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
    return residentMiBOfTree(running.pid);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

export async function benchProxy(): Promise<object> {
  need("nginx", "haproxy", "caddy", "wrk", "taskset");
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "posthouse-bench-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const upstreamPort = await freePort();
  const answer = JSON.stringify({ text: "x".repeat(190) });
  await startNginx(
    stack,
    folder,
    LOAD_CORE,
    "upstream",
    `server { listen 127.0.0.1:${upstreamPort}; location / { default_type application/json; return 200 '${answer}'; } }`,
  );
  const issued = await identity(stack, folder);
  const { proxies, absent } = await startProxies({ stack, folder, core: PROXY_CORE, upstreamPort, ...issued });
  const measured = proxies.map((proxy): Measured => {
    const empty = { cpu: [], rate: [], openP50: [], openP99: [] };
    return { proxy, ...empty, failed: 0, residentMiB: { afterLoad: 0, idle: 0 } };
  });
  for (const { proxy } of measured) wrk(proxy, WARM_SECONDS);
  for (let turn = 0; turn < ROUNDS; turn++) {
    for (const one of measured) {
      const before = cpuMicrosOfTree(one.proxy.running.pid);
      const { requests, failed } = wrk(one.proxy, SECONDS);
      one.cpu.push((cpuMicrosOfTree(one.proxy.running.pid) - before) / requests);
      one.rate.push(requests / SECONDS);
      one.residentMiB.afterLoad = residentMiBOfTree(one.proxy.running.pid);
      one.failed += failed;
      const open = await openLoop(one.proxy);
      one.openP50.push(open.p50);
      one.openP99.push(open.p99);
      one.failed += open.failed;
    }
  }
  for (const one of measured) one.residentMiB.idle = await idleMemory(one.proxy);
  const median = (values: readonly number[]) => spread(values).median;
  const peer = median(measured[0]?.cpu ?? []);
  const rows = measured.map((one): [string, object] => [
    one.proxy.name,
    {
      cpuMicrosPerRequest: spread(one.cpu),
      ratioToNginx: round(median(one.cpu) / peer),
      requestsPerSecond: spread(one.rate),
      [`p50Ms at ${OPEN_RATE}/s`]: spread(one.openP50),
      [`p99Ms at ${OPEN_RATE}/s`]: spread(one.openP99),
      failed: one.failed,
      [`residentMiB after ${CONNECTIONS} busy connections`]: one.residentMiB.afterLoad,
      [`residentMiB with ${IDLE_CONNECTIONS} idle connections`]: one.residentMiB.idle,
    },
  ]);
  return {
    connections: CONNECTIONS,
    seconds: SECONDS,
    rounds: ROUNDS,
    answerBytes: answer.length,
    ...Object.fromEntries(rows),
    ...(Object.keys(absent).length > 0 ? { absent } : {}),
  };
}
