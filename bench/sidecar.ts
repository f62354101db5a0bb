/**
 * The cost of an ingress over mTLS: CPU per connection and per megabyte, and the latency of small messages, of the sidecar and of HAProxy
 * with the same certificates in TCP mode. Each is pinned to one core, in turn; load and service are on the other.
 */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createSecureContext,
  connect as connectTls,
  type ConnectionOptions,
  type SecureContext,
  type TLSSocket,
} from "node:tls";
import { promisify } from "node:util";
import type { IdentityMaterial } from "#identity/core";
import { freePort } from "#test/kit";
import { meshAuthority, spiffeOf } from "../test/sidecar/mesh-kit.ts";
import { cpuMicrosOfTree, need, percentiles, round, spread, startPinned, type Running } from "./kit.ts";

const ME = "bench/sidecar.ts";
const PROXY_CORE = 0;
const LOAD_CORE = 1;
/** `SIDECAR_ROUNDS=1` is a smoke run. Its figures are meaningless. */
const ROUNDS = Number(process.env["SIDECAR_ROUNDS"] ?? 5);
const CONNECTIONS = 500;
/** Connections that are opened at once. */
const AT_ONCE = 16;
const MEGABYTES = 128;
/** Open connections of the small messages, their rate, and their time. */
const OPEN = { connections: 64, perSecond: 2_000, seconds: 3, bytes: 100 } as const;

type Work = "connections" | "megabytes" | "messages";

/** The service behind the ingress: it echoes, or discards what begins with a `d`. Prints its port. */
async function serve(): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    socket.on("error", () => {});
    socket.setNoDelay(true);
    socket.once("data", (first: Buffer) => {
      if (first[0] === 0x64) socket.resume().on("end", () => socket.end("done"));
      else socket.write(first, () => socket.pipe(socket));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  console.log(`ready ${(server.address() as AddressInfo).port}`);
}

async function open(port: number, context: SecureContext): Promise<TLSSocket> {
  const options: ConnectionOptions & { readonly allowHalfOpen: boolean } = {
    port,
    host: "127.0.0.1",
    secureContext: context,
    checkServerIdentity: () => undefined,
    allowHalfOpen: true,
  };
  const socket = connectTls(options);
  socket.setNoDelay(true);
  await once(socket, "secureConnect");
  return socket;
}

const WORKS: Record<Work, (port: number, context: SecureContext) => Promise<object>> = {
  async connections(port, context) {
    let left = CONNECTIONS;
    const worker = async () => {
      while (left-- > 0) {
        const socket = await open(port, context);
        socket.write("x");
        await once(socket, "data");
        socket.destroy();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return {};
  },
  async megabytes(port, context) {
    const socket = await open(port, context);
    const chunk = Buffer.alloc(65_536, "d");
    for (let sent = 0; sent < MEGABYTES * 2 ** 20; sent += chunk.length)
      if (!socket.write(chunk)) await once(socket, "drain");
    // The service answers once it has everything.
    const answered = once(socket, "data");
    socket.end();
    await answered;
    socket.destroy();
    return {};
  },
  async messages(port, context) {
    const sockets = await Promise.all(Array.from({ length: OPEN.connections }, () => open(port, context)));
    const tookMs: number[] = [];
    const sentAt: number[][] = sockets.map(() => []);
    for (const [i, socket] of sockets.entries()) {
      let have = 0;
      socket.on("data", (data: Buffer) => {
        for (have += data.length; have >= OPEN.bytes; have -= OPEN.bytes)
          tookMs.push(performance.now() - (sentAt[i]?.shift() ?? 0));
      });
    }
    const message = Buffer.alloc(OPEN.bytes, "x");
    const beganMs = performance.now();
    const total = OPEN.perSecond * OPEN.seconds;
    // By the clock and not by the answers, so that a slow proxy does not slow its load down.
    for (let sent = 0; sent < total;) {
      for (const due = ((performance.now() - beganMs) / 1000) * OPEN.perSecond; sent < due && sent < total; sent++) {
        const at = sent % sockets.length;
        sentAt[at]?.push(performance.now());
        sockets[at]?.write(message);
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
    for (const socket of sockets) socket.destroy();
    return { ...percentiles(tookMs), answered: tookMs.length, sent: total };
  },
};

async function load(work: Work, port: string, file: string): Promise<void> {
  const { key, certificate, bundle } = JSON.parse(await readFile(file, "utf8")) as IdentityMaterial;
  const context = createSecureContext({ key, cert: certificate, ca: bundle });
  console.log(JSON.stringify(await WORKS[work](Number(port), context)));
}

interface Proxy {
  readonly name: string;
  readonly port: number;
  readonly running: Running;
  readonly figures: {
    readonly perConnection: number[];
    readonly perMegabyte: number[];
    readonly p50: number[];
    readonly p99: number[];
  };
}

function figures(): Proxy["figures"] {
  return { perConnection: [], perMegabyte: [], p50: [], p99: [] };
}

async function haproxy(
  folder: string,
  material: IdentityMaterial,
  localPort: number,
): Promise<Omit<Proxy, "running"> & { args: string[] }> {
  const port = await freePort();
  const [crt, ca, file] = ["server.pem", "ca.pem", "haproxy.cfg"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await writeFile(crt, material.certificate + material.key);
  await writeFile(ca, material.bundle);
  await writeFile(
    file,
    `global
  nbthread 1
  maxconn 8192
  tune.ssl.cachesize 0
  ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
frontend f
  bind 127.0.0.1:${port} ssl crt ${crt} ca-file ${ca} verify required
  default_backend b
backend b
  server s 127.0.0.1:${localPort}
`,
  );
  return { name: "HAProxy, mTLS in TCP mode", port, figures: figures(), args: ["-db", "-f", file] };
}

async function run(work: Work, port: number, client: string): Promise<Record<string, number>> {
  const args = ["-c", String(LOAD_CORE), process.execPath, ME, work, String(port), client];
  const { stdout } = await promisify(execFile)("taskset", args);
  return JSON.parse(stdout) as Record<string, number>;
}

export async function benchSidecar(): Promise<object> {
  need("haproxy", "taskset");
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "posthouse-bench-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const authority = await meshAuthority();
  const material = await authority.issue(spiffeOf("stock"));
  const [server, client] = [join(folder, "server.json"), join(folder, "client.json")];
  await writeFile(server, JSON.stringify(material));
  await writeFile(client, JSON.stringify(await authority.issue(spiffeOf("orders"))));
  const service = stack.use(await startPinned(LOAD_CORE, process.execPath, [ME, "serve"], /ready \d+/));
  const localPort = Number(/ready (\d+)/.exec(service.output())?.[1]);
  const { args, ...peer } = await haproxy(folder, material, localPort);
  const port = await freePort();
  const ours = ["bench/sidecar-ingress.ts", server, String(port), String(localPort)];
  const proxies: Proxy[] = [
    { ...peer, running: stack.use(await startPinned(PROXY_CORE, "haproxy", args)) },
    {
      name: "posthouse, ingress",
      port,
      figures: figures(),
      running: stack.use(await startPinned(PROXY_CORE, process.execPath, ours, /listening/)),
    },
  ];
  const cpu = async (proxy: Proxy, work: Work) => {
    const before = cpuMicrosOfTree(proxy.running.pid);
    await run(work, proxy.port, client);
    return cpuMicrosOfTree(proxy.running.pid) - before;
  };
  for (const proxy of proxies) await run("connections", proxy.port, client);
  for (let turn = 0; turn < ROUNDS; turn++) {
    for (const proxy of proxies) {
      proxy.figures.perConnection.push((await cpu(proxy, "connections")) / CONNECTIONS);
      proxy.figures.perMegabyte.push((await cpu(proxy, "megabytes")) / MEGABYTES);
      const { p50 = NaN, p99 = NaN } = await run("messages", proxy.port, client);
      proxy.figures.p50.push(p50);
      proxy.figures.p99.push(p99);
    }
  }
  const [first] = proxies as [Proxy];
  const ratio = (one: readonly number[], other: readonly number[]) => round(spread(one).median / spread(other).median);
  const rows = proxies.map(({ name, figures: { perConnection, perMegabyte, p50, p99 } }): [string, object] => [
    name,
    {
      cpuMicrosPerConnection: spread(perConnection),
      cpuMicrosPerMegabyte: spread(perMegabyte),
      [`p50Ms at ${OPEN.perSecond}/s`]: spread(p50),
      [`p99Ms at ${OPEN.perSecond}/s`]: spread(p99),
      ratioPerConnection: ratio(perConnection, first.figures.perConnection),
      ratioPerMegabyte: ratio(perMegabyte, first.figures.perMegabyte),
      ratioP99: ratio(p99, first.figures.p99),
    },
  ]);
  return {
    rounds: ROUNDS,
    connections: CONNECTIONS,
    megabytes: MEGABYTES,
    messages: OPEN,
    ...Object.fromEntries(rows),
  };
}

if (import.meta.main) {
  const [mode, port = "", file = ""] = process.argv.slice(2);
  if (mode === "serve") await serve();
  else if (mode === undefined) console.log(JSON.stringify(await benchSidecar(), null, 2));
  else await load(mode as Work, port, file);
}
