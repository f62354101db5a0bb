/**
 * Checks that a process with all roles stops growing under a steady load: registrations, releases, watches and proxied requests at a fixed
 * rate. Memory is read from /metrics every ten seconds. Fails when a measure grows faster in the last half than its limit.
 */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, request } from "undici";
import { messageOf, own, setOwn } from "#base";
import { systemHost } from "#base/system";
import { Client, fetchTransport } from "#client";
import { type Posthouse, startPosthouse } from "#test/kit";
import { round } from "./kit.ts";
import { floorsOf, type Sample, slopeOf, slopesOfParts } from "./slope.ts";

const SAMPLE_MS = 10_000;
/** Milliseconds between two rounds of load. */
const TICK_MS = 100;
/** The requests of each round. */
const REGISTRATIONS = 5;
const REQUESTS = 10;
const READS = 1;
/** Rounds between two releases. Releases are kept forever, so many of them would count as growth. */
const TICKS_PER_RELEASE = 100;
const INSTANCES = 200;
/** Running calls beyond which a round is skipped and counted. */
const UNDER_WAY_MAX = 500;

/**
 * MiB per minute in the last half. An hour at the limit for buffers is 12 MiB. Resident memory includes the mapped pages of the store's
 * file, and memory that the allocator keeps.
 */
const GROWTH_MIB_PER_MINUTE_MAX = { resident: 1, heapUsed: 0.3, external: 0.2, arrayBuffers: 0.2 } as const;
type Measure = keyof typeof GROWTH_MIB_PER_MINUTE_MAX;
const METRICS: Readonly<Record<Measure, string>> = {
  resident: "process_resident_memory_bytes",
  heapUsed: "nodejs_heap_size_used_bytes",
  external: "nodejs_external_memory_bytes",
  arrayBuffers: "nodejs_array_buffers_bytes",
};
const MEASURES = Object.keys(METRICS) as Measure[];

interface Counts {
  callsDone: number;
  /** Failures by kind. */
  readonly callsFailed: Record<string, number>;
  roundsLeftOut: number;
}

interface Load extends AsyncDisposable {
  readonly counts: Counts;
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export async function benchSoak(minutes: number): Promise<object> {
  if (!(minutes > 0)) throw new Error("--minutes must be a number above 0");
  const folder = await mkdtemp(join(tmpdir(), "posthouse-bench-"));
  try {
    await using posthouse = await startPosthouse({ data: folder });
    await using load = await startLoad(posthouse);
    const series = new Map<Measure, Sample[]>(MEASURES.map((measure) => [measure, []]));
    const began = performance.now();
    for (let quarter = 1; quarter <= 4; quarter++) {
      while (performance.now() - began < (minutes * 60_000 * quarter) / 4) {
        await sample(posthouse, series, (performance.now() - began) / 60_000);
        await sleep(SAMPLE_MS);
      }
      console.log(
        `soak: quarter ${quarter}, MiB: ${JSON.stringify(lastOf(series))}, calls: ${JSON.stringify(load.counts)}`,
      );
    }
    return resultOf(series, { minutes, ...load.counts });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function sample({ api }: Posthouse, series: ReadonlyMap<Measure, Sample[]>, minutes: number): Promise<void> {
  const text = await (await fetch(`${api}/metrics`)).text();
  for (const [measure, samples] of series) {
    const value = new RegExp(`^${METRICS[measure]} (\\S+)$`, "m").exec(text)?.[1];
    if (value === undefined) throw new Error(`/metrics has no ${METRICS[measure]}`);
    samples.push({ minutes, value: Number(value) / 2 ** 20 });
  }
}

function lastOf(series: ReadonlyMap<Measure, readonly Sample[]>): object {
  return Object.fromEntries([...series].map(([measure, samples]) => [measure, round(samples.at(-1)?.value ?? NaN)]));
}

function resultOf(series: ReadonlyMap<Measure, readonly Sample[]>, facts: object): object {
  const failed: string[] = [];
  const shown: Record<string, object> = {};
  for (const [measure, samples] of series) {
    const floors = floorsOf(samples);
    const half = floors.slice(Math.floor(floors.length / 2));
    const growth = slopeOf(half);
    const limit = GROWTH_MIB_PER_MINUTE_MAX[measure];
    // Too few samples are not conclusive.
    if (!(growth <= limit))
      failed.push(`${measure} grows ${round(growth)} MiB/min in the last half; ${limit} is the limit`);
    shown[measure] = {
      "first and last, MiB": [round(samples[0]?.value ?? NaN), round(samples.at(-1)?.value ?? NaN)],
      "per quarter, MiB/min": slopesOfParts(floors, 4).map(round),
      "last half, MiB/min": round(growth),
      "limit, MiB/min": limit,
    };
  }
  for (const problem of failed) console.error(`soak: ${problem}`);
  return { ...facts, ...shown, ...(failed.length > 0 ? { failed } : {}) };
}

/** Repeats a request until it is disposed. */
async function startLoad(posthouse: Posthouse): Promise<Load> {
  await using stack = new AsyncDisposableStack();
  const { api, gateway, token = "" } = posthouse;
  const upstream = createServer((_request, response) => void response.end("ok ".repeat(300)));
  upstream.keepAliveTimeout = 75_000;
  upstream.listen(0, "127.0.0.1");
  await once(upstream, "listening");
  stack.defer(() => {
    upstream.closeAllConnections();
    upstream.close();
  });
  const { port } = upstream.address() as AddressInfo;
  const transport = stack.use(fetchTransport({ urls: [api] }));
  const client = new Client(systemHost({ logLevel: "error" }), { transport, token });
  const dispatcher = new Agent({ connections: 32 });
  stack.defer(() => dispatcher.destroy());
  const stop = new AbortController();
  stack.defer(() => stop.abort());

  const set = (app: string) => ({ namespace: "default", app, profile: "default" });
  const routes = [{ name: "web", match: { path: { prefix: "/" } }, service: "web" }];
  const gatewayYaml = { format: "yaml", value: JSON.stringify({ routes }) } as const;
  await client.config.publish(set("gateway"), { items: { "gateway.yaml": gatewayYaml } });
  await client.registry.register({ namespace: "default", service: "web", id: "web" }, { address: "127.0.0.1", port });
  const release = async (n: number) =>
    client.config.publish(set("soak"), { items: { "app.txt": { format: "text", value: `${n} `.repeat(2_000) } } });
  await release(0);
  for (const path of ["/v1/watch/services", "/v1/watch/config?namespace=default&app=soak&profile=default"])
    void follow(`${api}${path}`, token, stop.signal);

  const counts: Counts = { callsDone: 0, callsFailed: {}, roundsLeftOut: 0 };
  let underWay = 0;
  const call = (work: () => Promise<unknown>) => {
    underWay++;
    const settled = work().then(
      () => counts.callsDone++,
      (error: unknown) => {
        const what = (error as { code?: string }).code ?? messageOf(error);
        setOwn(counts.callsFailed, what, (own(counts.callsFailed, what) ?? 0) + 1);
      },
    );
    void settled.then(() => underWay--);
  };
  const proxied = async (n: number) => {
    const options = {
      dispatcher,
      method: n % 2 === 0 ? "GET" : "POST",
      ...(n % 2 === 0 ? {} : { body: "x".repeat(1_000) }),
    } as const;
    const { statusCode, body } = await request(`${gateway}/${n}`, options);
    await body.dump();
    if (statusCode !== 200) throw new Error(`status ${statusCode}`);
  };
  const register = (n: number) => {
    const name = { namespace: "default", service: `service-${n % 20}`, id: `instance-${n % INSTANCES}` };
    return client.registry.register(name, { address: "127.0.0.1", port: 4000, metadata: { round: String(n) } });
  };
  let tick = 0;
  const timer = setInterval(() => {
    if (underWay > UNDER_WAY_MAX) {
      counts.roundsLeftOut++;
      return;
    }
    const n = tick++;
    for (let i = 0; i < REGISTRATIONS; i++) call(() => register(n * REGISTRATIONS + i));
    for (let i = 0; i < REQUESTS; i++) call(() => proxied(i));
    for (let i = 0; i < READS; i++) call(() => client.config.effective(set("soak")));
    if (n % TICKS_PER_RELEASE === 0) call(() => release(n));
  }, TICK_MS);
  stack.defer(() => clearInterval(timer));
  // The gateway has its routes now. Earlier failures do not count.
  await sleep(2_000);
  Object.assign(counts, { callsDone: 0, callsFailed: {}, roundsLeftOut: 0 });
  const owned = stack.move();
  return { counts, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Reads a watch to its end and discards the frames. */
async function follow(url: string, token: string, signal: AbortSignal): Promise<void> {
  try {
    const headers = { authorization: `Bearer ${token}`, accept: "text/event-stream" };
    const { body } = await fetch(url, { headers, signal });
    for await (const _chunk of body ?? []);
  } catch (error) {
    if (!signal.aborted) console.error(`soak: a watch ended: ${String(error)}`);
  }
}
