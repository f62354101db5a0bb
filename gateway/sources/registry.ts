/**
 * Endpoints from the registry, by push: one watch per namespace that the routes use. A snapshot is built aside and
 * swapped in when it is whole, so nobody ever sees an empty list in between; while the registry is away, what was last
 * known goes on.
 */
import type { ServiceDelta } from "#registry/api";
import { TaskGroup, type Host } from "#base";
import type { CatalogInstance } from "../core/endpoints.ts";
import { NO_HINTS, type Hints } from "../core/hints.ts";
import type { GatewayClient } from "../settings.ts";

/** Instances by id. */
type Service = ReadonlyMap<string, CatalogInstance>;
/** Path prefixes that services hint at, by service. */
type HintMap = Map<string, readonly string[]>;
/** Milliseconds that services keep idle connections, by their policy. */
type KeepAlives = Map<string, number>;
/** Services by name. */
export type NamespaceCatalog = ReadonlyMap<string, Service>;

interface Watched {
  catalog: NamespaceCatalog;
  hints: HintMap;
  keepAlives: KeepAlives;
  /** Of the last frame that was taken over; 0: none was. */
  revision: number;
  /** Whether it is whole, from the registry or from the last good state on disk. */
  known: boolean;
  connected: boolean;
  readonly abort: AbortController;
}

export class RegistrySource implements AsyncDisposable {
  readonly #host: Host;
  readonly #client: GatewayClient["registry"];
  readonly #onChange: (namespace: string, services: ReadonlySet<string> | "all") => void;
  readonly #tasks: TaskGroup;
  readonly #watched = new Map<string, Watched>();

  /** `onChange`: the instances of these services are others now, or all may be. */
  constructor(
    host: Host,
    client: GatewayClient["registry"],
    onChange: (namespace: string, services: ReadonlySet<string> | "all") => void,
  ) {
    this.#host = host;
    this.#client = client;
    this.#onChange = onChange;
    this.#tasks = new TaskGroup(host.log);
  }

  get connected(): boolean {
    return this.#watched.size > 0 && [...this.#watched.values()].every(({ connected }) => connected);
  }

  /** Watches these namespaces and no others. */
  use(namespaces: ReadonlySet<string>): void {
    for (const [namespace, watched] of this.#watched) {
      if (namespaces.has(namespace)) continue;
      watched.abort.abort(new Error("not used by any route"));
      this.#watched.delete(namespace);
    }
    for (const namespace of namespaces) if (!this.#watched.has(namespace)) this.#start(namespace);
  }

  /** Whether all of what is watched is known whole. */
  get complete(): boolean {
    return [...this.#watched.values()].every(({ known }) => known);
  }

  /** The revision that all namespaces have come to; 0: one was never heard of, or none is watched. */
  get revision(): number {
    const revisions = [...this.#watched.values()].map(({ revision }) => revision);
    return revisions.length === 0 ? 0 : Math.min(...revisions);
  }

  instances(namespace: string, service: string): Iterable<CatalogInstance> {
    const watched = this.#watched.get(namespace);
    const instances = watched?.catalog.get(service)?.values() ?? [];
    const keepAliveMs = watched?.keepAlives.get(service);
    return keepAliveMs === undefined ? instances : [...instances].map((instance) => ({ ...instance, keepAliveMs }));
  }

  instance(namespace: string, service: string, id: string): CatalogInstance | undefined {
    const watched = this.#watched.get(namespace);
    const instance = watched?.catalog.get(service)?.get(id);
    const keepAliveMs = watched?.keepAlives.get(service);
    return instance && keepAliveMs !== undefined ? { ...instance, keepAliveMs } : instance;
  }

  /** The path prefixes that the services of a namespace hint at. */
  hints(namespace: string): Hints {
    return this.#watched.get(namespace)?.hints ?? NO_HINTS;
  }

  /** Puts the last good state in place until the registry is heard. */
  restore(namespace: string, instances: readonly CatalogInstance[], hints: Hints): void {
    const watched = this.#watched.get(namespace);
    if (!watched || watched.known) return;
    const catalog = new Map<string, Map<string, CatalogInstance>>();
    for (const instance of instances) serviceOf(catalog, instance.service).set(instance.id, instance);
    watched.catalog = catalog;
    watched.hints = new Map(hints);
    watched.known = true;
    this.#onChange(namespace, "all");
  }

  #start(namespace: string): void {
    const watched: Watched = {
      catalog: new Map(),
      hints: new Map(),
      keepAlives: new Map(),
      revision: 0,
      known: false,
      connected: false,
      abort: new AbortController(),
    };
    this.#watched.set(namespace, watched);
    this.#tasks.run(`gateway watches namespace ${namespace}`, (signal) =>
      this.#watch(namespace, watched, AbortSignal.any([signal, watched.abort.signal])),
    );
  }

  async #watch(namespace: string, watched: Watched, signal: AbortSignal): Promise<void> {
    const frames = this.#client.watch(
      { namespace },
      {
        signal,
        onState: (state) => {
          watched.connected = state === "connected";
          this.#host.log.info({ namespace, state }, `registry watch ${state}`);
        },
      },
    );
    // Until the first `synced` all is snapshot, whether or not a reset came before.
    let building: Map<string, Map<string, CatalogInstance>> | undefined = new Map();
    let hints: HintMap = new Map();
    let keepAlives: KeepAlives = new Map();
    // What a cold server says: it is in force beside what was known, and alone once the server is warm.
    let said: NamespaceCatalog | undefined;
    for await (const frame of frames) {
      if (frame.event === "reset") {
        building = new Map();
        hints = new Map();
        keepAlives = new Map();
      } else if (frame.event === "snapshot" && frame.data) {
        if (!building) {
          building = new Map();
          hints = new Map();
          keepAlives = new Map();
        }
        merge(serviceOf(building, frame.data.service), frame.data);
        noteHints(hints, frame.data);
        noteKeepAlive(keepAlives, frame.data);
      } else if (frame.event === "synced" && building) {
        said = frame.cold && watched.known ? building : undefined;
        watched.catalog = said ? together(watched.catalog, said) : building;
        watched.hints = hints;
        watched.keepAlives = keepAlives;
        watched.known = true;
        building = undefined;
        if (said) this.#host.log.info({ namespace }, "the registry has just started; endpoints known before are kept");
        this.#onChange(namespace, "all");
      } else if (frame.event === "delta" && frame.data) {
        noteKeepAlive(keepAlives, frame.data);
        if (building) {
          merge(serviceOf(building, frame.data.service), frame.data);
          noteHints(hints, frame.data);
        } else {
          if (noteHints(hints, frame.data)) watched.hints = hints = new Map(hints);
          watched.catalog = applyDelta(watched.catalog, frame.data);
          said &&= applyDelta(said, frame.data);
          this.#onChange(namespace, new Set([frame.data.service]));
        }
      }
      if (said && frame.event === "heartbeat" && !frame.cold) {
        watched.catalog = said;
        said = undefined;
        this.#onChange(namespace, "all");
      }
      if (!building) watched.revision = frame.revision;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}

/** Whether they are others now. */
function noteHints(hints: HintMap, { service, gateway }: ServiceDelta): boolean {
  const before = hints.get(service);
  const now = gateway?.pathPrefixes;
  if (before?.join(" ") === now?.join(" ")) return false;
  if (now) hints.set(service, now);
  else hints.delete(service);
  return true;
}

function noteKeepAlive(keepAlives: KeepAlives, { service, gateway }: ServiceDelta): void {
  const seconds = gateway?.keepAliveSeconds;
  if (seconds === undefined) keepAlives.delete(service);
  else keepAlives.set(service, seconds * 1000);
}

function serviceOf(catalog: Map<string, Map<string, CatalogInstance>>, service: string): Map<string, CatalogInstance> {
  let instances = catalog.get(service);
  if (!instances) catalog.set(service, (instances = new Map()));
  return instances;
}

/** What was known, and over it what is said now. */
function together(known: NamespaceCatalog, said: NamespaceCatalog): NamespaceCatalog {
  const both = new Map(known);
  for (const [service, instances] of said) both.set(service, new Map([...(known.get(service) ?? []), ...instances]));
  return both;
}

function merge(instances: Map<string, CatalogInstance>, delta: ServiceDelta): void {
  for (const id of delta.removed) instances.delete(id);
  for (const instance of delta.instances) instances.set(instance.id, instance);
}

function applyDelta(catalog: NamespaceCatalog, delta: ServiceDelta): NamespaceCatalog {
  const next = new Map(catalog);
  const instances = new Map(catalog.get(delta.service));
  merge(instances, delta);
  if (instances.size === 0) next.delete(delta.service);
  else next.set(delta.service, instances);
  return next;
}
