/**
 * The gateway as several processes on the same ports. This process accepts connections and distributes them in turn (node:cluster), so the
 * ports belong to it and stay open when a worker ends. It restarts workers, relays their messages to each other and to the control plane,
 * and sums their metrics.
 *
 * A replacement accepts connections only when it has the control plane's current state. A worker ends when this process ends, for whatever
 * reason, because the channel between them closes.
 */
import cluster, { type Worker } from "node:cluster";
import { fullJitter, TaskGroup, type CounterChild, type Host, type MetricValues } from "#base";
import type { DialRules } from "#base/dial";
import { lastingValues, sumValues } from "#base/prometheus";
import type { Transport } from "#client";
import type { IdentitySource } from "#identity/core";
import { mergeViews, PeerRecord, type ClusterView, type GatewayPorts, type GatewaySettings } from "#gateway";
import { UNHEARD_EXIT, type FromWorker, type ToWorker, type WorkerAnswers, type WorkerStart } from "./messages.ts";
import { workerMetrics } from "./metrics.ts";
import { returnUntakenConnections } from "./handoffs.ts";
import { Relay } from "./relay.ts";

/** The command of this program that a worker runs. */
export const WORKER_COMMAND = "gateway-worker";
/** Back-off between two starts of a worker, in milliseconds. */
const RESTART = { baseMs: 100, capMs: 10_000 };
/** Milliseconds after which an ended worker counts as having worked, so that the back-off starts over. */
const STEADY_MS = 30_000;
/** Milliseconds after the drain until a worker that has not ended is killed. */
const STOP_MS_MAX = 5_000;
/** Milliseconds that a worker may take to answer. For a late worker, its last metric values count. */
const ANSWER_MS_MAX = 1_000;

export interface WorkersOptions {
  readonly workers: number;
  /** The part of the start message that is the same for all workers. */
  readonly start: Omit<WorkerStart, "worker" | "workers" | "replaces" | "dial">;
  readonly dial: DialRules;
  /** The gateway's certificate, which each worker receives and uses; undefined: it has none. */
  readonly identity?: IdentitySource | undefined;
  /** The connection of this process to the control plane; undefined without one. */
  readonly way: { readonly transport: Transport; readonly token: string | undefined } | undefined;
}

/** The place of one worker. Its process changes with each restart. */
interface Place {
  readonly worker: number;
  process: Worker | undefined;
  ready: boolean;
  /** The last metric values that it reported. */
  values: MetricValues;
  readonly asked: Map<number, (answer: WorkerAnswers[keyof WorkerAnswers] | undefined) => void>;
}

export class GatewayWorkers implements AsyncDisposable {
  readonly #host: Host;
  readonly #options: WorkersOptions;
  readonly #places: readonly Place[];
  readonly #tasks: TaskGroup;
  readonly #record = new PeerRecord();
  readonly #restarts: CounterChild;
  readonly #started: readonly PromiseWithResolvers<GatewayPorts>[];
  /** Metric values of processes that have ended. */
  #ended: MetricValues = [];
  readonly #endFollowing: () => void;
  readonly #endIdentity: readonly ((() => void) | undefined)[];
  #tls: GatewaySettings["tls"];
  #asks = 0;
  #wasReady = false;

  constructor(host: Host, options: WorkersOptions) {
    const log = host.log.child({ role: "gateway" });
    this.#host = { ...host, log };
    this.#options = options;
    this.#tls = options.start.settings.tls;
    this.#tasks = new TaskGroup(log);
    this.#places = Array.from({ length: options.workers }, (_, worker) => ({
      worker,
      process: undefined,
      ready: false,
      values: [],
      asked: new Map(),
    }));
    this.#started = this.#places.map(() => Promise.withResolvers<GatewayPorts>());
    for (const { promise } of this.#started) promise.catch(() => {});
    this.#restarts = workerMetrics(host, () => this.#places.filter(({ ready }) => ready).length);
    host.metrics.join(() => this.#values());
    const { own } = options.dial;
    this.#endFollowing = own.onChange(() => {
      for (const place of this.#places) this.#post(place, { type: "ports", own: own.list() });
    });
    const { identity } = options;
    this.#endIdentity = [
      identity?.onChange(() => this.#places.forEach((place) => this.#postIdentity(place))),
      identity?.revocations?.onChange(() => this.#places.forEach((place) => this.#postRevoked(place))),
    ];
  }

  /** Starts all workers. @throws the system's own error, such as EADDRINUSE, with its `port`; dispose the workers then */
  async listen(): Promise<GatewayPorts> {
    // In turn, because the system's own scheduling gives one process most of the connections.
    cluster.schedulingPolicy = cluster.SCHED_RR;
    cluster.setupPrimary({ args: [WORKER_COMMAND], serialization: "advanced" });
    for (const place of this.#places) {
      this.#tasks.run(`gateway worker ${place.worker}`, (signal) => this.#keep(place, signal));
    }
    const [ports] = await Promise.all(this.#started.map(({ promise }) => promise));
    return ports as GatewayPorts;
  }

  /** Serves new connections with a renewed certificate, also of workers that start later. */
  setTls(tls: NonNullable<GatewaySettings["tls"]>): void {
    this.#tls = tls;
    for (const place of this.#places) this.#post(place, { type: "tls", tls });
  }

  /** Why the gateway is not ready, for people. At first all workers must be ready; later, one is enough. */
  notReady(): string | undefined {
    const ready = this.#places.filter((place) => place.ready).length;
    if (ready === this.#places.length) this.#wasReady = true;
    if (this.#wasReady && ready > 0) return undefined;
    return `gateway: ${this.#places.length - ready} of ${this.#places.length} workers have not loaded routes and endpoints yet`;
  }

  async #keep(place: Place, signal: AbortSignal): Promise<void> {
    const { clock, log, random } = this.#host;
    let attempt = 0;
    let replaces = false;
    while (!signal.aborted) {
      const sinceMs = clock.monotonic();
      const { code, cause } = await this.#live(place, replaces, signal);
      if (signal.aborted) return;
      this.#restarts.inc();
      log.error({ worker: place.worker, code, signal: cause }, "a gateway worker ended and is restarted");
      if (clock.monotonic() - sinceMs > STEADY_MS) attempt = 0;
      replaces = code !== UNHEARD_EXIT;
      await clock.sleep(fullJitter(random, attempt++, RESTART), signal).catch(() => {});
    }
  }

  /** One process, from its start to its end. */
  async #live(place: Place, replaces: boolean, signal: AbortSignal) {
    const { clock, log } = this.#host;
    const process = (place.process = cluster.fork(withoutSettings()));
    returnUntakenConnections(process);
    const post = (message: ToWorker) => send(process, message);
    using relay = this.#options.way && new Relay(this.#options.way, post);
    const exited = Promise.withResolvers<{ code: number | null; cause: string | null }>();
    process.once("exit", (code: number | null, cause: string | null) => exited.resolve({ code, cause }));
    process.on("error", (error) =>
      log.error({ worker: place.worker, err: error }, "cannot send a message to a gateway worker"),
    );
    process.on("message", (message: FromWorker) => this.#hear(place, message, { relay, replaces }));
    let kill = () => {};
    const stop = () => {
      void post({ type: "stop" }).catch(() => {});
      kill = clock.after(this.#options.start.settings.drainMs + STOP_MS_MAX, () => process.process.kill("SIGKILL"));
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    const end = await exited.promise;
    kill();
    signal.removeEventListener("abort", stop);
    await this.#gone(place, end);
    return end;
  }

  #hear(
    place: Place,
    message: FromWorker,
    { relay, replaces }: { readonly relay: Relay | undefined; readonly replaces: boolean },
  ): void {
    const { worker } = place;
    const nowMs = this.#host.clock.monotonic();
    switch (message.type) {
      case "online": {
        const { workers, start, dial } = this.#options;
        const rules = { loopback: dial.loopback, own: dial.own.list() };
        this.#postRevoked(place);
        this.#postIdentity(place);
        const settings = { ...start.settings, tls: this.#tls };
        this.#post(place, { type: "start", start: { ...start, settings, dial: rules, worker, workers, replaces } });
        for (const known of this.#record.for(worker, nowMs)) this.#post(place, { type: "news", ...known });
        return;
      }
      case "request":
        void relay?.take(message);
        return;
      case "abort":
        relay?.abort(message.id);
        return;
      case "listening":
        this.#started[worker]?.resolve(message.ports);
        return;
      case "refused": {
        const { code, port } = message;
        this.#host.log.error({ worker, code, port }, `a gateway worker cannot listen: ${message.message}`);
        this.#started[worker]?.reject(Object.assign(new Error(message.message), { code, port }));
        return;
      }
      case "ready":
        place.ready = true;
        this.#host.log.info({ worker, pid: place.process?.process.pid }, "gateway worker serves");
        return;
      case "news":
        this.#record.note(worker, message.news, nowMs);
        this.#tellOthers(worker, { type: "news", worker, news: message.news });
        return;
      case "answer":
        place.asked.get(message.id)?.(message.answer);
        return;
    }
  }

  async #gone(place: Place, { code, cause }: { code: number | null; cause: string | null }): Promise<void> {
    const { worker } = place;
    place.process = undefined;
    place.ready = false;
    for (const answer of place.asked.values()) answer(undefined);
    this.#record.forget(worker);
    this.#tellOthers(worker, { type: "news", worker, news: undefined });
    this.#started[worker]?.reject(new Error(`a gateway worker ended before it listened (${cause ?? code})`));
    const { values } = place;
    place.values = [];
    if (values.length > 0) this.#ended = await sumValues([this.#ended, lastingValues(values)]);
  }

  #tellOthers(worker: number, message: ToWorker): void {
    for (const place of this.#places) if (place.worker !== worker) this.#post(place, message);
  }

  #post({ process }: Place, message: ToWorker): void {
    // Errors are ignored, because an ending worker needs no messages.
    if (process) void send(process, message).catch(() => {});
  }

  #postIdentity(place: Place): void {
    const material = this.#options.identity?.current;
    if (material) this.#post(place, { type: "identity", material });
  }

  #postRevoked(place: Place): void {
    const { serials } = this.#options.identity?.revocations ?? {};
    if (serials) this.#post(place, { type: "revoked", serials: [...serials] });
  }

  async #values(): Promise<readonly MetricValues[]> {
    const values = await Promise.all(this.#places.map((place) => this.#valuesOf(place)));
    return [this.#ended, ...values].filter(({ length }) => length > 0);
  }

  async #valuesOf(place: Place): Promise<MetricValues> {
    if (!place.process) return [];
    const values = await this.#ask(place, "values");
    if (values) place.values = values;
    return place.values;
  }

  /** The current state of each cluster, by its key, combined over all workers that answer. */
  async clusterViews(): Promise<ReadonlyMap<string, ClusterView>> {
    const told = await Promise.all(this.#places.map((place) => this.#ask(place, "clusters")));
    const byKey = Map.groupBy(
      told.flatMap((views) => [...(views ?? [])]),
      ([key]) => key,
    );
    return new Map(
      [...byKey].map(([key, views]) => [key, mergeViews(views.map(([, view]) => view)) as ClusterView] as const),
    );
  }

  /** Queries a worker. Undefined when it has ended, or did not answer in time. */
  async #ask<Type extends keyof WorkerAnswers>(place: Place, type: Type): Promise<WorkerAnswers[Type] | undefined> {
    if (!place.process) return undefined;
    const id = ++this.#asks;
    const answered = Promise.withResolvers<WorkerAnswers[Type] | undefined>();
    const late = this.#host.clock.after(ANSWER_MS_MAX, () => answered.resolve(undefined));
    place.asked.set(id, answered.resolve as (answer: unknown) => void);
    this.#post(place, { type, id });
    try {
      return await answered.promise;
    } finally {
      late();
      place.asked.delete(id);
    }
  }

  /** All workers drain at once. A worker that outlasts the drain is killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#endFollowing();
    for (const end of this.#endIdentity) end?.();
    await this.#tasks[Symbol.asyncDispose]();
    this.#host.metrics.join(async () => []);
  }
}

function send(worker: Worker, message: ToWorker): Promise<void> {
  return new Promise((resolve, reject) => {
    if (!worker.isConnected()) return reject(new Error("the worker is gone"));
    worker.process.send(message, (error: Error | null) => (error ? reject(error) : resolve()));
  });
}

/** Workers receive their settings by message, so the environment's settings, such as a token, are removed. */
function withoutSettings(): Record<string, undefined> {
  const names = Object.keys(process.env).filter((name) => name.startsWith("POSTHOUSE_"));
  return Object.fromEntries(names.map((name) => [name, undefined]));
}
