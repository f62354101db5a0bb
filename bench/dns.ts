/**
 * Queries answered per second, and CPU microseconds of the server's process per query, for A and SRV of 1,000 services with three instances
 * each; compared with knot and dnsmasq in the same run, in turn, each on one pinned core. dnsperf runs on the other core, which is the
 * limit for servers that are faster than dnsperf.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { call, freePort, projectRoot } from "#test/kit";
import { cpuMicrosOfTree, need, residentMiB, round, type Running, spread, startPinned } from "./kit.ts";

const SERVICES = 1_000;
const INSTANCES = 3;
const ROUNDS = 5;
const SECONDS = Number(process.env["BENCH_DNS_SECONDS"] ?? 5);
const WARM_SECONDS = 1;
const SERVER_CORE = 0;
const LOAD_CORE = 1;
/** Registrations in flight at once while the catalog is filled. */
const FILL = 32;

interface Candidate {
  readonly name: string;
  readonly running: Running;
  readonly port: number;
}

const service = (i: number) => `svc-${i}`;
const address = (i: number, j: number) => `10.${i >> 8}.${i & 255}.${j + 1}`;
const target = (i: number, j: number) => `i${j}.${service(i)}.instance.posthouse.`;

/** One turn of load; `lost` counts queries without an answer, or with another status than NOERROR. */
async function dnsperf(port: number, file: string, seconds: number) {
  const args = ["-c", String(LOAD_CORE), "dnsperf", "-s", "127.0.0.1", "-p", String(port), "-d", file];
  const child = spawn("taskset", [...args, "-l", String(seconds), "-q", "200", "-e"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  await once(child, "close");
  const number = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? 0);
  const completed = number(/Queries completed:\s+(\d+)/);
  return {
    completed,
    perSecond: number(/Queries per second:\s+([\d.]+)/),
    bytes: number(/response (\d+)/),
    lost: number(/Queries lost:\s+(\d+)/) + completed - number(/NOERROR (\d+)/),
  };
}

async function startPosthouse(folder: string, stack: AsyncDisposableStack): Promise<Candidate> {
  const [api, port] = [await freePort(), await freePort()];
  const args = ["--roles", "registry", "config-server", "--port", String(api), "--dns-port", String(port)];
  const rest = ["--store", "memory", "--log-level", "error"];
  const program = [join(projectRoot, "bin/posthouse"), "up", "--data", join(folder, "data"), ...args, ...rest];
  const running = stack.use(await startPinned(SERVER_CORE, process.execPath, program, /is up[\s\S]*\n\n/));
  const token = /^ {2}(ph_\S+)$/m.exec(running.output())?.[1];
  const all = Array.from(
    { length: SERVICES * INSTANCES },
    (_, n) => [Math.floor(n / INSTANCES), n % INSTANCES] as const,
  );
  const next = all.values();
  const fill = async () => {
    for (const [i, j] of next) {
      const url = `http://127.0.0.1:${api}/v1/services/${service(i)}/instances/i${j}`;
      const { status } = await call(url, { method: "PUT", token, body: { address: address(i, j), port: 4000 + j } });
      if (status !== 201) throw new Error(`registration: ${status}`);
    }
  };
  await Promise.all(Array.from({ length: FILL }, fill));
  return { name: "posthouse", running, port };
}

async function startKnot(folder: string, stack: AsyncDisposableStack): Promise<Candidate> {
  const port = await freePort();
  const home = join(folder, "knot");
  await mkdir(home, { recursive: true });
  const lines = ["$ORIGIN posthouse.", "$TTL 1", "@ SOA ns hostmaster 1 3600 600 86400 1", "@ NS ns", "ns A 127.0.0.1"];
  for (let i = 0; i < SERVICES; i++) {
    for (let j = 0; j < INSTANCES; j++) {
      lines.push(`${service(i)}.service A ${address(i, j)}`, `${target(i, j)} A ${address(i, j)}`);
      lines.push(`_${service(i)}._tcp.service SRV 1 100 ${4000 + j} ${target(i, j)}`);
    }
  }
  await writeFile(join(home, "posthouse.zone"), `${lines.join("\n")}\n`);
  const server = `server:\n  rundir: ${home}\n  listen: 127.0.0.1@${port}\n  udp-workers: 1\n  tcp-workers: 1\n`;
  const zone = `zone:\n  - domain: posthouse.\n    storage: ${home}\n    file: posthouse.zone\n`;
  await writeFile(join(home, "knot.conf"), `${server}database:\n  storage: ${home}\n${zone}`);
  return {
    name: "knot",
    running: stack.use(await startPinned(SERVER_CORE, "knotd", ["-c", join(home, "knot.conf")])),
    port,
  };
}

async function startDnsmasq(folder: string, stack: AsyncDisposableStack): Promise<Candidate> {
  const port = await freePort();
  const lines = ["no-resolv", "no-hosts", "no-daemon", `port=${port}`, "listen-address=127.0.0.1", "bind-interfaces"];
  lines.push("local=/posthouse/", "local-ttl=1", "user=root", "pid-file=");
  for (let i = 0; i < SERVICES; i++) {
    for (let j = 0; j < INSTANCES; j++) {
      lines.push(`host-record=${service(i)}.service.posthouse,${address(i, j)}`);
      lines.push(`host-record=${target(i, j).slice(0, -1)},${address(i, j)}`);
      lines.push(`srv-host=_${service(i)}._tcp.service.posthouse,${target(i, j).slice(0, -1)},${4000 + j},1,100`);
    }
  }
  const file = join(folder, "dnsmasq.conf");
  await writeFile(file, `${lines.join("\n")}\n`);
  return { name: "dnsmasq", running: stack.use(await startPinned(SERVER_CORE, "dnsmasq", ["-C", file])), port };
}

export async function benchDns(): Promise<object> {
  need("dnsperf", "knotd", "dnsmasq", "taskset");
  const folder = await mkdtemp(join(tmpdir(), "posthouse-bench-"));
  try {
    await using stack = new AsyncDisposableStack();
    const candidates = [
      await startPosthouse(folder, stack),
      await startKnot(folder, stack),
      await startDnsmasq(folder, stack),
    ];
    const result: Record<string, object> = {};
    for (const type of ["A", "SRV"] as const) {
      const file = join(folder, `${type}.txt`);
      const names = Array.from({ length: SERVICES }, (_, i) =>
        type === "A" ? `${service(i)}.service.posthouse A` : `_${service(i)}._tcp.service.posthouse SRV`,
      );
      await writeFile(file, `${names.join("\n")}\n`);
      const seen = new Map(
        candidates.map(({ name }) => [name, { rate: [] as number[], cpu: [] as number[], lost: 0, bytes: 0 }]),
      );
      for (const { port } of candidates) await dnsperf(port, file, WARM_SECONDS);
      for (let turn = 0; turn < ROUNDS; turn++) {
        for (const { name, port, running } of candidates) {
          const before = cpuMicrosOfTree(running.pid);
          const { completed, perSecond, lost, bytes } = await dnsperf(port, file, SECONDS);
          const of = seen.get(name);
          of?.rate.push(perSecond);
          of?.cpu.push((cpuMicrosOfTree(running.pid) - before) / completed);
          if (of) Object.assign(of, { lost: of.lost + lost, bytes });
        }
      }
      for (const [name, { rate, cpu, lost, bytes }] of seen) {
        result[`${type}, ${name}`] = {
          perSecond: spread(rate),
          "CPU µs per query": spread(cpu),
          lost,
          answerBytes: bytes,
        };
      }
    }
    const [posthouse] = candidates;
    const version = spawnSync("knotd", ["--version"], { encoding: "utf8" }).stdout.trim();
    return {
      services: SERVICES,
      instances: SERVICES * INSTANCES,
      rounds: ROUNDS,
      secondsPerRound: SECONDS,
      peers: version,
      ...result,
      posthouseMiB: round(residentMiB(posthouse?.running.pid ?? 0)),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
