/**
 * Endpoints from the registry, by push: one watch per namespace that the routes use. A snapshot is built aside and
 * swapped in when it is whole, so nobody ever sees an empty list in between; while the registry is away, or has just
 * started without knowing all, what was last known goes on.
 */
import { isDeepStrictEqual } from "node:util";
import type { ServiceDelta } from "#registry/api";
import { TaskGroup, type Host } from "#base";
import { catalogFold, FoldedWatch, type Catalog, type Fold } from "#client";
import type { CatalogInstance } from "../core/balancing/instance.ts";
import { NO_HINTS, type Hints } from "../core/routing/hints.ts";
import type { GatewayClient } from "../settings.ts";

/** What is known of a namespace. */
interface KnownNamespace {
  readonly catalog: Catalog<CatalogInstance>;
  /** Path prefixes that services hint at, by service; the same map for as long as they are the same. */
  readonly hints: ReadonlyMap<string, readonly string[]>;
  /** Milliseconds that services keep idle connections, by their policy. */
  readonly keepAlives: ReadonlyMap<string, number>;
}

const CATALOG = catalogFold<CatalogInstance>();

/** Policies outlive a server's restart, so only the instances that were known are held beside what a cold server says. */
const FOLD: Fold<KnownNamespace, ServiceDelta> = {
  gather(gathered, delta) {
    const { hints, keepAlives } = gathered ?? { hints: new Map(), keepAlives: new Map() };
    put(hints as Map<string, readonly string[]>, delta.service, delta.gateway?.pathPrefixes);
    put(keepAlives as Map<string, number>, delta.service, keepAliveOf(delta));
    return { catalog: CATALOG.gather(gathered?.catalog, delta), hints, keepAlives };
  },
  apply: (known, delta) => ({
    catalog: CATALOG.apply(known?.catalog, delta),
    hints: changed(known?.hints, delta.service, delta.gateway?.pathPrefixes),
    keepAlives: changed(known?.keepAlives, delta.service, keepAliveOf(delta)),
  }),
  empty: { catalog: new Map(), hints: new Map(), keepAlives: new Map() },
  together: (known, said) => ({ ...said, catalog: CATALOG.together(known.catalog, said.catalog) }),
};

function keepAliveOf({ gateway }: ServiceDelta): number | undefined {
  return gateway?.keepAliveSeconds === undefined ? undefined : gateway.keepAliveSeconds * 1000;
}

function put<Value>(map: Map<string, Value>, key: string, value: Value | undefined): Map<string, Value> {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
  return map;
}

/** A copy with this entry, or the same map where that changes nothing. */
function changed<Value>(map: ReadonlyMap<string, Value> = new Map(), key: string, value: Value | undefined) {
  return isDeepStrictEqual(map.get(key), value) ? map : put(new Map(map), key, value);
}

interface Watched {
  readonly state: FoldedWatch<KnownNamespace, ServiceDelta>;
  /** Of the last frame that was taken over; 0: none was. */
  revision: number;
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

  /** Whether all of what is watched is known whole, from the registry or from the last good state on disk. */
  get complete(): boolean {
    return [...this.#watched.values()].every(({ state }) => state.value !== undefined);
  }

  /** The revision that all namespaces have come to; 0: one was never heard of, or none is watched. */
  get revision(): number {
    const revisions = [...this.#watched.values()].map(({ revision }) => revision);
    return revisions.length === 0 ? 0 : Math.min(...revisions);
  }

  instances(namespace: string, service: string): Iterable<CatalogInstance> {
    const known = this.#known(namespace);
    const instances = known?.catalog.get(service)?.values() ?? [];
    const keepAliveMs = known?.keepAlives.get(service);
    return keepAliveMs === undefined ? instances : [...instances].map((instance) => ({ ...instance, keepAliveMs }));
  }

  instance(namespace: string, service: string, id: string): CatalogInstance | undefined {
    const known = this.#known(namespace);
    const instance = known?.catalog.get(service)?.get(id);
    const keepAliveMs = known?.keepAlives.get(service);
    return instance && keepAliveMs !== undefined ? { ...instance, keepAliveMs } : instance;
  }

  /** The path prefixes that the services of a namespace hint at. */
  hints(namespace: string): Hints {
    return this.#known(namespace)?.hints ?? NO_HINTS;
  }

  #known(namespace: string): KnownNamespace | undefined {
    return this.#watched.get(namespace)?.state.value;
  }

  /** Puts the last good state in place until the registry is heard. */
  restore(namespace: string, instances: readonly CatalogInstance[], hints: Hints): void {
    let catalog: KnownNamespace["catalog"] = new Map();
    for (const [service, its] of Map.groupBy(instances, (instance) => instance.service)) {
      catalog = CATALOG.gather(catalog, { service, instances: its, removed: [] });
    }
    const restored = this.#watched
      .get(namespace)
      ?.state.restore({ catalog, hints: new Map(hints), keepAlives: new Map() });
    if (restored) this.#onChange(namespace, "all");
  }

  #start(namespace: string): void {
    const watched: Watched = {
      state: new FoldedWatch(FOLD),
      revision: 0,
      connected: false,
      abort: new AbortController(),
    };
    this.#watched.set(namespace, watched);
    this.#tasks.run(`gateway watches namespace ${namespace}`, (signal) =>
      this.#watch(namespace, watched, AbortSignal.any([signal, watched.abort.signal])),
    );
  }

  async #watch(namespace: string, watched: Watched, signal: AbortSignal): Promise<void> {
    const { state } = watched;
    const { log } = this.#host;
    const frames = this.#client.watch(
      { namespace },
      {
        signal,
        onState: (connection) => {
          watched.connected = connection === "connected";
          log.info({ namespace, state: connection }, `registry watch ${connection}`);
        },
      },
    );
    for await (const frame of frames) {
      const changed = state.take(frame);
      if (changed === "all") {
        if (state.holds) log.info({ namespace }, "the registry has just started; endpoints known before are kept");
        this.#onChange(namespace, "all");
      } else if (changed === "data" && frame.data) this.#onChange(namespace, new Set([frame.data.service]));
      if (state.settled) watched.revision = frame.revision;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}
