/**
 * The snapshot that requests read, and how the next one is built: the table, and the endpoints of its clusters. Replacing
 * the snapshot is one assignment, so that no request sees half of a change.
 */
import type { Host } from "#base";
import type { DialGuard } from "#base/dial";
import type { ClusterView } from "./api.ts";
import { endpointKey } from "./core/balancing/endpoint-target.ts";
import { NO_ENDPOINTS, type Endpoint, type EndpointSet } from "./core/balancing/endpoints.ts";
import { nextEndpoints } from "./core/balancing/next-endpoints.ts";
import type { CatalogInstance } from "./core/balancing/instance.ts";
import { viewCluster } from "./core/decision/cluster-view.ts";
import type { GatewaySnapshot } from "./core/decision/pipeline.ts";
import type { CompiledCluster, RouteTable } from "./core/routing/table.ts";
import type { NameSource } from "./sources/names.ts";
import type { RegistrySource } from "./sources/registry.ts";
import type { UpstreamPools } from "./upstream/pools.ts";

export interface SnapshotParts {
  /** The gateway's own zone. */
  readonly zone: string | undefined;
  readonly dial: DialGuard;
  readonly registry: RegistrySource;
  readonly names: NameSource;
  readonly pools: UpstreamPools;
  /** Called after each replacement. */
  readonly onReplaced: () => void;
}

export class Snapshots {
  readonly #host: Host;
  readonly #parts: SnapshotParts;
  #current: GatewaySnapshot;

  constructor(host: Host, first: GatewaySnapshot, parts: SnapshotParts) {
    this.#host = host;
    this.#current = first;
    this.#parts = parts;
  }

  get current(): GatewaySnapshot {
    return this.#current;
  }

  useTable(table: RouteTable): void {
    this.#replace(table, table.clusters.keys());
  }

  rebuildAll(): void {
    this.useTable(this.#current.table);
  }

  /** After a change in the registry. */
  rebuildServices(namespace: string, services: ReadonlySet<string> | "all"): void {
    const keys = this.#keysWhere(
      (cluster) =>
        !cluster.instances && cluster.namespace === namespace && (services === "all" || services.has(cluster.service)),
    );
    if (keys.length > 0) this.#replace(this.#current.table, keys);
  }

  /** After a change of the addresses of DNS names. */
  rebuildNamed(): void {
    this.#replace(
      this.#current.table,
      this.#keysWhere(({ instances }) => instances !== undefined),
    );
  }

  #keysWhere(isWanted: (cluster: CompiledCluster) => boolean): string[] {
    return [...this.#current.table.clusters.values()].filter(isWanted).map(({ key }) => key);
  }

  /** The same snapshot with this table, and with new endpoints for the clusters in `rebuilt`. */
  #replace(table: RouteTable, rebuilt: Iterable<string>): void {
    const { zone, dial, registry, names, onReplaced } = this.#parts;
    const before = this.#current.endpoints;
    const nowMs = this.#host.clock.monotonic();
    const refusal = (address: string, port: number) => dial.refusal(address, port);
    const endpoints = new Map<string, EndpointSet>();
    for (const key of table.clusters.keys()) endpoints.set(key, before.get(key) ?? NO_ENDPOINTS);
    for (const key of rebuilt) {
      const cluster = table.clusters.get(key);
      if (!cluster) continue;
      const instances = cluster.instances
        ? names.expand(cluster.instances)
        : registry.instances(cluster.namespace, cluster.service);
      const old = before.get(key) ?? NO_ENDPOINTS;
      const next = nextEndpoints(old, cluster, instances, { nowMs, zone, refusal });
      if (next.panic && !old.panic) this.#logPanic(cluster);
      endpoints.set(key, next);
    }
    this.#current = { ...this.#current, table, endpoints };
    onReplaced();
    this.#closeUnused(table);
  }

  /** Closes connections to endpoints that are gone. An unhealthy one keeps its connections: it may recover in a second. */
  #closeUnused(table: RouteTable): void {
    this.#parts.pools.retain(({ id, key, cluster: { key: clusterKey } }) => {
      const cluster = table.clusters.get(clusterKey);
      const instance = cluster && this.#instance(cluster, id);
      return cluster !== undefined && instance !== undefined && endpointKey(cluster, instance) === key;
    });
  }

  #instance({ instances, namespace, service }: CompiledCluster, id: string): CatalogInstance | undefined {
    const { registry, names } = this.#parts;
    return instances ? names.expand(instances).find((one) => one.id === id) : registry.instance(namespace, service, id);
  }

  logEjection({ id, authority, load, cluster }: Endpoint): void {
    const nowMs = this.#host.clock.monotonic();
    const seconds = Math.round((load.ejectedUntilMs - nowMs) / 1000);
    this.#host.log.warn(
      { cluster: cluster.key, endpoint: id, authority, seconds },
      "endpoint ejected: too many of its answers failed",
    );
    const set = this.#current.endpoints.get(cluster.key) ?? NO_ENDPOINTS;
    if (viewCluster(set, cluster, nowMs).panic) this.#logPanic(cluster);
  }

  #logPanic({ key }: CompiledCluster): void {
    this.#host.log.warn({ cluster: key }, "too few endpoints are healthy: requests go to all of them");
  }

  views(): ReadonlyMap<string, ClusterView> {
    const { table, endpoints } = this.#current;
    const nowMs = this.#host.clock.monotonic();
    return new Map(
      [...table.clusters].map(([key, cluster]) => [
        key,
        viewCluster(endpoints.get(key) ?? NO_ENDPOINTS, cluster, nowMs),
      ]),
    );
  }
}
