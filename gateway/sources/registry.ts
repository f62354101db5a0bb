/**
 * Endpoints pushed by the registry: one watch per namespace that the routes use. A snapshot is built aside and swapped
 * in when it is complete, so that no request sees an empty list in between. While the registry is away, or has just
 * started and lacks data, the last known endpoints stay in use.
 */
import { isDeepStrictEqual } from "node:util";
import type { ServiceDelta } from "#registry/api";
import { TaskGroup, type Host } from "#base";
import { catalogFold, FoldedWatch, type Catalog, type Fold } from "#client";
import type { CatalogInstance } from "../core/balancing/instance.ts";
import { NO_HINTS, type Hints } from "../core/routing/hints.ts";
import type { GatewayClient } from "../settings.ts";

/** The known state of a namespace. */
interface KnownNamespace {
  readonly catalog: Catalog<CatalogInstance>;
  /** Path prefixes in the hints of services, by service. The same map as long as they do not change. */
  readonly hints: ReadonlyMap<string, readonly string[]>;
  /** Milliseconds for which services keep idle connections, by their policies. */
  readonly keepAlives: ReadonlyMap<string, number>;
}

const CATALOG = catalogFold<CatalogInstance>();

/** Policies survive a server's restart, so only the known instances are kept beside the data of a cold server. */
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

/** A copy with this entry, or the same map if nothing changes. */
function changed<Value>(map: ReadonlyMap<string, Value> = new Map(), key: string, value: Value | undefined) {
  return isDeepStrictEqual(map.get(key), value) ? map : put(new Map(map), key, value);
}

interface Watched {
  readonly state: FoldedWatch<KnownNamespace, ServiceDelta>;
  /** Of the last processed frame; 0: there was none. */
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

  /** `onChange`: the instances of these services, or of all, have changed. */
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

  /** Whether all watched namespaces are completely known, from the registry or from the last good state on disk. */
  get complete(): boolean {
    return [...this.#watched.values()].every(({ state }) => state.value !== undefined);
  }

  /** The lowest revision of all namespaces; 0: one has not been received yet, or none is watched. */
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

  /** The path prefixes in the hints of the namespace's services. */
  hints(namespace: string): Hints {
    return this.#known(namespace)?.hints ?? NO_HINTS;
  }

  #known(namespace: string): KnownNamespace | undefined {
    return this.#watched.get(namespace)?.state.value;
  }

  /** Uses the last good state until the registry answers. */
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
        if (state.holds)
          log.info(
            { namespace },
            "the registry has just started and may lack instances; the endpoints known before stay in use",
          );
        this.#onChange(namespace, "all");
      } else if (changed === "data" && frame.data) this.#onChange(namespace, new Set([frame.data.service]));
      if (state.settled) watched.revision = frame.revision;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}
