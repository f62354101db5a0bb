/**
 * The instances of the services that this process calls: one watch per service, opened by the first call. While no server answers, the
 * last known instances stay in use; a start without a server reads them from the file.
 */
import { AppError, messageOf, TaskGroup, Waiters, type Host } from "#base";
import type { Client } from "../client.ts";
import { catalogFold } from "../core/catalog.ts";
import { FoldedWatch } from "../core/fold.ts";
import { ClientErrors } from "../errors.ts";
import { isTransient } from "../transient.ts";
import type { KnownInstance, ServiceFile } from "./service-file.ts";

/** Milliseconds that a first call waits for a server, before the file is read. */
const FIRST_ANSWER_MS_MAX = 3_000;
/** Services watched at once: each is a stream. Beyond that, the one that was not called for longest is forgotten. */
const SERVICES_MAX = 256;

const FOLD = catalogFold<KnownInstance>();

export interface ServiceCatalogOptions {
  readonly client: Pick<Client, "registry">;
  readonly file: ServiceFile | undefined;
  readonly tell: (problem: AppError) => void;
}

/** A service, its namespace, and its known instances. */
export class WatchedService {
  readonly key: string;
  readonly namespace: string;
  readonly service: string;
  readonly abort = new AbortController();
  readonly #news = new Waiters();
  readonly #subscribers = new Set<(instances: readonly KnownInstance[]) => void>();
  #instances: readonly KnownInstance[] | undefined;
  #problem: unknown;
  usedMs = 0;

  constructor({ namespace, service }: { namespace: string; service: string }) {
    this.key = `${namespace}/${service}`;
    this.namespace = namespace;
    this.service = service;
  }

  /** Undefined until a server or the file has answered. */
  get instances(): readonly KnownInstance[] | undefined {
    return this.#instances;
  }

  /** Calls the subscriber after each change, until the service is forgotten. */
  onChange(subscriber: (instances: readonly KnownInstance[]) => void): void {
    this.#subscribers.add(subscriber);
  }

  set(instances: readonly KnownInstance[]): void {
    this.#instances = instances;
    this.#problem = undefined;
    for (const subscriber of this.#subscribers) subscriber(instances);
    this.#news.wakeAll();
  }

  fail(problem: unknown): void {
    this.#problem = problem;
    this.#news.wakeAll();
  }

  /** Waits for a first answer. @throws the server's rejection, or CLIENT_SERVICE_NOT_KNOWN */
  async known(host: Host, restore: () => Promise<unknown>): Promise<void> {
    const late = new AbortController();
    const cancel = host.clock.after(FIRST_ANSWER_MS_MAX, () => late.abort());
    const signal = AbortSignal.any([late.signal, this.abort.signal]);
    try {
      while (this.#instances === undefined && this.#problem === undefined && !signal.aborted)
        await this.#news.wait({ signal });
    } finally {
      cancel();
    }
    if (this.#instances !== undefined) return;
    const problem = this.#problem;
    if (problem !== undefined && !isTransient(problem)) throw problem;
    await restore();
    if (this.#instances !== undefined) return;
    if (this.abort.signal.aborted)
      throw ClientErrors.CLOSED("The client is closed. Create another one with connect().");
    const why = problem === undefined ? `no server answered within ${FIRST_ANSWER_MS_MAX} ms` : messageOf(problem);
    throw ClientErrors.SERVICE_NOT_KNOWN(
      `The instances of service "${this.service}" are not known yet: ${why}. Set lastKnownGoodFile to start without a server.`,
      { cause: problem, extra: { service: this.service, namespace: this.namespace } },
    );
  }
}

export class ServiceCatalog implements AsyncDisposable {
  readonly #host: Host;
  readonly #options: ServiceCatalogOptions;
  readonly #tasks: TaskGroup;
  readonly #services = new Map<string, WatchedService>();

  constructor(host: Host, options: ServiceCatalogOptions) {
    this.#host = host;
    this.#options = options;
    this.#tasks = new TaskGroup(host.log);
  }

  /** The service, watched from now on. */
  of(name: { namespace: string; service: string }): WatchedService {
    if (this.#tasks.signal.aborted)
      throw ClientErrors.CLOSED("The client is closed. Create another one with connect().");
    const key = `${name.namespace}/${name.service}`;
    const known = this.#services.get(key);
    if (known) return known;
    if (this.#services.size >= SERVICES_MAX) this.#forgetOldest();
    const watched = new WatchedService(name);
    this.#services.set(key, watched);
    this.#tasks.run(`watch of service ${key}`, (signal) =>
      this.#watch(watched, AbortSignal.any([signal, watched.abort.signal])),
    );
    return watched;
  }

  /** Waits for the service's first instances. @throws the server's rejection, or CLIENT_SERVICE_NOT_KNOWN */
  known(watched: WatchedService): Promise<void> {
    return watched.known(this.#host, () => this.#restore(watched));
  }

  async #restore(watched: WatchedService): Promise<void> {
    const kept = await this.#options.file?.load(watched.key);
    if (kept && watched.instances === undefined) watched.set(kept);
  }

  async #watch(watched: WatchedService, signal: AbortSignal): Promise<void> {
    const { namespace, service } = watched;
    const state = new FoldedWatch(FOLD);
    let told: string | undefined;
    const onState = (connection: "connected" | "disconnected", error?: unknown) => {
      if (connection === "connected") told = undefined;
      else if (error !== undefined && !signal.aborted) {
        watched.fail(error);
        const code = error instanceof AppError ? error.code : "";
        if (told !== code) this.#tell(error);
        told = code;
      }
    };
    const query = { namespace, services: [service] };
    for await (const frame of this.#options.client.registry.watch(query, { signal, onState })) {
      // The instances from the file stay beside the data of a server that has just started.
      const before = watched.instances;
      if (state.value === undefined && before !== undefined)
        state.restore(new Map([[service, new Map(before.map((one) => [one.id, one]))]]));
      if (state.take(frame) === undefined) continue;
      const instances = [...(state.value?.get(service)?.values() ?? [])];
      watched.set(instances);
      this.#options.file?.save(watched.key, instances.map(slim));
    }
  }

  #tell(error: unknown): void {
    this.#options.tell(
      error instanceof AppError ? error : ClientErrors.UNREACHABLE(messageOf(error), { cause: error }),
    );
  }

  #forgetOldest(): void {
    let oldest: WatchedService | undefined;
    for (const one of this.#services.values()) if (!oldest || one.usedMs < oldest.usedMs) oldest = one;
    if (!oldest) return;
    this.#services.delete(oldest.key);
    oldest.abort.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watched of this.#services.values()) watched.abort.abort();
    await this.#tasks[Symbol.asyncDispose]();
    await this.#options.file?.[Symbol.asyncDispose]();
  }
}

/** The part of an instance that a start needs. */
function slim(instance: KnownInstance): KnownInstance {
  const { namespace, service, id, address, port, protocol, ports, weight, lifecycle, status, metadata, zone } =
    instance;
  const optional = { ...(metadata === undefined ? {} : { metadata }), ...(zone === undefined ? {} : { zone }) };
  return { namespace, service, id, address, port, protocol, ports, weight, lifecycle, status, ...optional };
}
