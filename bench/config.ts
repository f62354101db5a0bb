/**
 * Config at size: 10,000 subscribers of one app, each with its own stream, that acknowledge every release durably; 50,000 keys; large
 * releases; long histories. The server has one core, the clients the other.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeJson } from "#base";
import { systemHost } from "#base/system";
import { openStore } from "#store";
import { each, FrameSocket, ready, type Server, startServer } from "./control-server.ts";
import { cpuMicrosOfTree, need, percentiles, residentMiB, round, spread } from "./kit.ts";

const SUBSCRIBERS = 10_000;
const RELEASES = 20;
const APPS = 1_000;
const KEYS_PER_APP = 50;
const LARGE_BYTES = 1024 * 1024;
const STEADY_PER_MINUTE = 1_000;
const STEADY_SECONDS = 60;
const HISTORY = 100_000;
const PAGES = 200;
const SETTLE_MS = 2_000;
const WRITERS = 16;

const SET = "/v1/config/default/orders/default";
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function items(seed: number, keys = 20): object {
  const entries = Array.from({ length: keys }, (_, key) => [
    `key-${key}.yaml`,
    { format: "yaml", value: `seed: ${seed}\nurl: "http://service-${key}.example:8080/path"\n` },
  ]);
  return Object.fromEntries(entries) as object;
}

async function publish(server: Server, path: string, body: object): Promise<number> {
  const { text } = await server.call("POST", `${path}/releases`, body);
  return (JSON.parse(text) as { version: number }).version;
}

/** A subscriber that acknowledges each release, over one of several shared connections. */
class Subscriber {
  heardMs = 0;
  acknowledgedMs = 0;
  readonly #frames: FrameSocket;
  readonly #id: string;
  readonly #server: Server;
  #done: () => void = () => {};

  constructor(server: Server, index: number) {
    this.#server = server;
    this.#id = `web-${index}`;
    const query = `namespace=default&app=orders&profile=default&patches=true&instance=${this.#id}`;
    this.#frames = new FrameSocket(server, `/v1/watch/config?${query}`);
  }

  /** Resolves once it is synced. */
  start(): Promise<void> {
    return this.#frames.start((frame) => void this.#heard(/"releaseKey":"([0-9a-f]+)"/.exec(frame)?.[1] ?? ""));
  }

  /** Resolves once the next release has been acknowledged, and that is durable. */
  next(): Promise<void> {
    return new Promise((resolve) => (this.#done = resolve));
  }

  async #heard(releaseKey: string): Promise<void> {
    this.heardMs = performance.now();
    const path = `${SET}/acknowledgements/${this.#id}`;
    await this.#server.call("PUT", path, { releaseKey, outcome: "applied" });
    this.acknowledgedMs = performance.now();
    this.#done();
  }

  end(): void {
    this.#frames.end();
  }
}

async function fanOut(server: Server): Promise<object> {
  await publish(server, SET, { items: items(0) });
  await sleep(SETTLE_MS);
  const beforeMiB = residentMiB(server.running.pid);
  const subscribers: Subscriber[] = [];
  await each(SUBSCRIBERS, 64, async (index) => {
    const subscriber = new Subscriber(server, index);
    subscribers.push(subscriber);
    await subscriber.start();
  });
  await sleep(SETTLE_MS);
  const perSubscriberKiB = round(((residentMiB(server.running.pid) - beforeMiB) * 1024) / SUBSCRIBERS);
  const first: number[] = [];
  const heard: number[] = [];
  const all: number[] = [];
  const micros: number[] = [];
  for (let release = 1; release <= RELEASES; release++) {
    const acknowledged = Promise.all(subscribers.map((subscriber) => subscriber.next()));
    const cpuBefore = cpuMicrosOfTree(server.running.pid);
    const began = performance.now();
    await publish(server, SET, { items: items(release), reason: `release ${release}` });
    await acknowledged;
    micros.push((cpuMicrosOfTree(server.running.pid) - cpuBefore) / SUBSCRIBERS);
    first.push(Math.min(...subscribers.map(({ heardMs }) => heardMs)) - began);
    for (const { heardMs } of subscribers) heard.push(heardMs - began);
    all.push(Math.max(...subscribers.map(({ acknowledgedMs }) => acknowledgedMs)) - began);
    await sleep(200);
  }
  for (const subscriber of subscribers) subscriber.end();
  await sleep(SETTLE_MS);
  return {
    subscribers: SUBSCRIBERS,
    releases: RELEASES,
    "publish → first subscriber, ms": percentiles(first),
    "publish → each subscriber, ms": percentiles(heard),
    "publish → all acknowledged, ms": percentiles(all),
    "CPU µs of the server per subscriber told and acknowledged": spread(micros),
    "resident per subscriber, KiB": perSubscriberKiB,
  };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

async function manyKeys(server: Server): Promise<object> {
  await each(APPS, WRITERS, async (app) => {
    await publish(server, `/v1/config/default/app-${app}/default`, { items: items(app, KEYS_PER_APP) });
  });
  const ask = (app: number) => () => server.call("GET", `/v1/config/default/app-${app % APPS}/default`);
  const reads: number[] = [];
  for (let i = 0; i < 5 * APPS; i++) reads.push(await timed(ask(i * 7919)));
  return {
    keys: APPS * KEYS_PER_APP,
    "effective config of one app, ms": percentiles(reads.slice(APPS)),
    "the first time, ms": percentiles(reads.slice(0, APPS)),
  };
}

async function large(server: Server): Promise<object> {
  const text: number[] = [];
  const yaml: number[] = [];
  for (let i = 0; i < 10; i++) {
    const value = String(i).repeat(LARGE_BYTES);
    text.push(
      await timed(() =>
        publish(server, "/v1/config/default/large/default", { items: { a: { format: "text", value } } }),
      ),
    );
    const lines = `line: [${i}, some, words, of, config]\n`;
    const document = Array.from({ length: LARGE_BYTES / 48 }, (_, line) => `k${line}-${lines}`).join("");
    yaml.push(
      await timed(() =>
        publish(server, "/v1/config/default/large/yaml", { items: { "a.yaml": { format: "yaml", value: document } } }),
      ),
    );
  }
  return { "publish of 1 MiB of text, ms": spread(text), "of YAML, ms": spread(yaml) };
}

/** Releases at a steady rate, with reads in between. Reads at the end should not take longer than at the start. */
async function steady(server: Server): Promise<object> {
  const reads: number[] = [];
  const calls: Promise<unknown>[] = [];
  const releases = (STEADY_PER_MINUTE * STEADY_SECONDS) / 60;
  const began = performance.now();
  for (let i = 0; i < releases; i++) {
    const wait = began + (i * 60_000) / STEADY_PER_MINUTE - performance.now();
    if (wait > 0) await sleep(wait);
    calls.push(publish(server, `/v1/config/default/app-${i % APPS}/default`, { items: items(i, KEYS_PER_APP) }));
    reads.push(await timed(() => server.call("GET", `/v1/config/default/app-${(i * 31) % APPS}/default`)));
  }
  await Promise.all(calls);
  const quarter = Math.floor(reads.length / 4);
  return {
    "releases per minute": round((releases * 60_000) / (performance.now() - began)),
    "read in the first quarter, ms": percentiles(reads.slice(0, quarter)),
    "read in the last quarter, ms": percentiles(reads.slice(-quarter)),
  };
}

/** A set with a long past, as its releases would have left it, written before the server starts. */
async function writeHistory(folder: string): Promise<void> {
  await using store = await openStore(systemHost({ logLevel: "error" }), {
    engine: "lmdb",
    folder: join(folder, "store"),
  });
  const name = { namespace: "default", app: "history", profile: "default" };
  for (let first = 1; first <= HISTORY; first += 100) {
    const puts = Array.from({ length: 100 }, (_, i) => {
      const version = first + i;
      const release = {
        ...name,
        version,
        hash: String(version),
        author: "bench",
        reason: "",
        createdAt: new Date(0).toISOString(),
      };
      const value = encodeJson({ ...release, items: items(version, 10) });
      const key = `/config/releases/default/history/default/${String(version).padStart(12, "0")}`;
      return { type: "put" as const, key, value };
    });
    const live = encodeJson({ version: first + 99, hash: String(first + 99) });
    await store.txn({ then: [...puts, { type: "put", key: "/config/live/default/history/default", value: live }] });
  }
}

async function history(server: Server): Promise<object> {
  const path = "/v1/config/default/history/default";
  const page = (before: number) => () => server.call("GET", `${path}/releases?limit=100&before=${before}`);
  const pages: number[] = [];
  for (let i = 0; i < PAGES; i++) pages.push(await timed(page(HISTORY - i * Math.floor(HISTORY / PAGES))));
  const publishes: number[] = [];
  for (let i = 0; i < 50; i++) publishes.push(await timed(() => publish(server, path, { items: items(i, 10) })));
  return {
    releases: HISTORY,
    "a page of 100, anywhere, ms": percentiles(pages),
    "one more release, ms": percentiles(publishes),
    "resident, MiB": residentMiB(server.running.pid),
  };
}

export async function benchConfig(): Promise<object> {
  need("taskset");
  const folder = await mkdtemp(join(tmpdir(), "posthouse-bench-"));
  try {
    await writeHistory(folder);
    await using server = await startServer(folder);
    await ready(server);
    return {
      "one app, many subscribers": await fanOut(server),
      "many keys": await manyKeys(server),
      large: await large(server),
      steady: await steady(server),
      history: await history(server),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
