/**
 * The registry at size: 100,000 instances of 2,000 services, 10,000 subscribers, 10,000 agents that only send heartbeats. The server has
 * one core, the clients the other.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BATCH_MAX } from "#registry/api";
import { each, FrameSocket, ready, type Server, startServer } from "./control-server.ts";
import { cpuMicrosOfTree, need, percentiles, residentMiB, round, spread } from "./kit.ts";

const SERVICES = 2_000;
const INSTANCES_PER_SERVICE = 50;
const INSTANCES = SERVICES * INSTANCES_PER_SERVICE;
const SUBSCRIBERS = 10_000;
const AGENTS = 10_000;
const SESSION_SECONDS = 30;
/** The same as the agent: three renewals in a session's time. */
const HEARTBEATS_PER_SECOND = AGENTS / (SESSION_SECONDS / 3);
const CHANGES_PER_SECOND = 200;
const MEASURE_SECONDS = 20;
const HEARTBEAT_ROUNDS = 5;
const WRITERS = 16;
/** Milliseconds for running work to settle before memory or processor time is read. */
const SETTLE_MS = 2_000;

const serviceName = (index: number) => `service-${index}`;
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function registration(service: number, index: number, changed = 0) {
  return {
    address: `10.${service >> 8}.${service & 255}.${index + 1}`,
    port: 8080,
    tags: ["v1"],
    zone: index % 2 === 0 ? "eu-1" : "eu-2",
    metadata: { build: String(changed) },
  };
}

/** All instances, in batches, durable each. */
async function fill(server: Server): Promise<object> {
  const began = performance.now();
  await each(Math.ceil(INSTANCES / BATCH_MAX), WRITERS, async (batch) => {
    const first = batch * BATCH_MAX;
    const numbers = Array.from({ length: Math.min(BATCH_MAX, INSTANCES - first) }, (_, i) => first + i);
    const instances = numbers.map((number) => {
      const service = Math.floor(number / INSTANCES_PER_SERVICE);
      const index = number % INSTANCES_PER_SERVICE;
      return { service: serviceName(service), id: `i-${number}`, registration: registration(service, index) };
    });
    await server.call("POST", "/v1/batches", { instances });
  });
  const seconds = (performance.now() - began) / 1000;
  return {
    "durable registrations per second": round(INSTANCES / seconds),
    "in batches of": BATCH_MAX,
    writers: WRITERS,
  };
}

/** A subscriber, and the changes that it received. */
class Subscriber {
  deltas = 0;
  /** Of the latest delta with a build in it. */
  onDelta: (build: number) => void = () => {};
  readonly #frames: FrameSocket;

  constructor(server: Server, service: string) {
    this.#frames = new FrameSocket(server, `/v1/watch/services?service=${service}`);
  }

  /** Resolves once it is synced. */
  start(): Promise<void> {
    return this.#frames.start((frame) => {
      this.deltas++;
      this.onDelta(Number(/"build":"(\d+)"/.exec(frame)?.[1]));
    });
  }

  end(): void {
    this.#frames.end();
  }
}

/** Changes at an even rate, timed from the request to each of the subscribers. */
async function follow(server: Server, subscribers: readonly Subscriber[]): Promise<object> {
  const perService = SUBSCRIBERS / SERVICES;
  const sentMs = new Map<number, number>();
  const delays: number[] = [];
  for (const subscriber of subscribers) {
    subscriber.deltas = 0;
    subscriber.onDelta = (build) => {
      const sent = sentMs.get(build);
      if (sent !== undefined) delays.push(performance.now() - sent);
    };
  }
  const changes = CHANGES_PER_SECOND * MEASURE_SECONDS;
  const before = cpuMicrosOfTree(server.running.pid);
  const began = performance.now();
  const calls: Promise<unknown>[] = [];
  for (let change = 1; change <= changes; change++) {
    const due = began + (change * 1000) / CHANGES_PER_SECOND;
    const wait = due - performance.now();
    if (wait > 0) await sleep(wait);
    const service = (change * 7919) % SERVICES;
    const index = change % INSTANCES_PER_SERVICE;
    sentMs.set(change, performance.now());
    const path = `/v1/services/${serviceName(service)}/instances/i-${service * INSTANCES_PER_SERVICE + index}`;
    calls.push(server.call("PUT", path, registration(service, index, change)));
  }
  await Promise.all(calls);
  const cpu = cpuMicrosOfTree(server.running.pid) - before;
  const seconds = (performance.now() - began) / 1000;
  await sleep(SETTLE_MS);
  const told = subscribers.reduce((sum, { deltas }) => sum + deltas, 0);
  return {
    "changes per second": round(changes / seconds),
    "change → subscriber, ms": percentiles(delays),
    "deltas told": told,
    "deltas due (own watchers only)": changes * perService,
    "CPU of the server, share of its core": round(cpu / 1e6 / seconds),
  };
}

/** Renews sessions like agents, on kept connections. */
async function heartbeats(server: Server): Promise<object> {
  const sessions: string[] = [];
  await each(AGENTS, WRITERS, async () => {
    const { text } = await server.call("POST", "/v1/sessions", { ttlSeconds: SESSION_SECONDS });
    sessions.push((JSON.parse(text) as { id: string }).id);
  });
  const rates: number[] = [];
  const shares: number[] = [];
  const micros: number[] = [];
  for (let round = 0; round < HEARTBEAT_ROUNDS; round++) {
    let sent = 0;
    const calls: Promise<unknown>[] = [];
    const before = cpuMicrosOfTree(server.running.pid);
    const began = performance.now();
    while (performance.now() - began < MEASURE_SECONDS * 1000) {
      const due = Math.floor(((performance.now() - began) / 1000) * HEARTBEATS_PER_SECOND) - sent;
      for (let i = 0; i < due; i++) {
        const session = sessions[sent++ % AGENTS] as string;
        calls.push(server.call("PUT", `/v1/sessions/${session}/heartbeat`));
      }
      await sleep(5);
    }
    await Promise.all(calls);
    const seconds = (performance.now() - began) / 1000;
    const cpu = cpuMicrosOfTree(server.running.pid) - before;
    rates.push(sent / seconds);
    shares.push(cpu / 1e6 / seconds);
    micros.push(cpu / sent);
  }
  return {
    agents: AGENTS,
    "heartbeats per second": spread(rates),
    "CPU of the server, share of its core": spread(shares),
    "CPU µs per heartbeat": spread(micros),
  };
}

/** Processor share of an idle server. */
async function idle({ running }: Server): Promise<number> {
  const before = cpuMicrosOfTree(running.pid);
  await sleep(MEASURE_SECONDS * 500);
  return round((cpuMicrosOfTree(running.pid) - before) / 1e6 / (MEASURE_SECONDS / 2));
}

export async function benchRegistry(): Promise<object> {
  need("taskset");
  const folder = await mkdtemp(join(tmpdir(), "posthouse-bench-"));
  try {
    let token: string;
    const results: Record<string, unknown> = { instances: INSTANCES, services: SERVICES };
    {
      await using server = await startServer(folder);
      ({ token } = server);
      const emptyMiB = residentMiB(server.running.pid);
      results["batched registrations"] = await fill(server);
      await sleep(SETTLE_MS);
      results["resident after filling, MiB (before)"] = `${residentMiB(server.running.pid)} (${emptyMiB})`;
    }
    const began = performance.now();
    await using server = await startServer(folder, token);
    await ready(server);
    results["cold start until ready, s"] = round((performance.now() - began) / 1000);
    await sleep(SETTLE_MS);
    const filledMiB = residentMiB(server.running.pid);
    results["resident after the start, MiB"] = filledMiB;
    results["idle, share of its core"] = await idle(server);
    results["heartbeats"] = await heartbeats(server);
    const beforeMiB = residentMiB(server.running.pid);
    const subscribers: Subscriber[] = [];
    await each(SUBSCRIBERS, 64, async (index) => {
      const subscriber = new Subscriber(server, serviceName(index % SERVICES));
      subscribers.push(subscriber);
      await subscriber.start();
    });
    await sleep(SETTLE_MS);
    const subscribedMiB = residentMiB(server.running.pid);
    results["subscribers"] = SUBSCRIBERS;
    results["resident per subscriber, KiB"] = round(((subscribedMiB - beforeMiB) * 1024) / SUBSCRIBERS);
    results["following changes"] = await follow(server, subscribers);
    for (const subscriber of subscribers) subscriber.end();
    results["resident at the end, MiB"] = residentMiB(server.running.pid);
    return results;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
