/**
 * The endpoints of a cluster: who of a service's instances may be sent a request now. A set is immutable and swapped
 * whole, cluster by cluster; what is in flight to an endpoint lives on through the swaps.
 */
import ipaddr from "ipaddr.js";
import type { CompiledCluster } from "./table.ts";
import { weigh } from "./balancer.ts";

/** As much of a registry instance as a gateway needs. The registry's `Instance` is one. */
export interface CatalogInstance {
  readonly namespace: string;
  readonly service: string;
  readonly id: string;
  readonly address: string;
  readonly port: number;
  readonly protocol: string;
  readonly weight: number;
  readonly lifecycle: "starting" | "serving" | "draining" | "stopped";
  readonly status: "passing" | "warning" | "critical" | "unknown";
}

/** What this gateway sees of one endpoint. The only thing here that changes in place. */
export interface EndpointLoad {
  inFlight: number;
  /** Connections refused in a row. */
  failures: number;
  /** Sent nothing until then, while others have room: it refused the last connection. */
  avoidUntilMs: number;
}

export function newLoad(): EndpointLoad {
  return { inFlight: 0, failures: 0, avoidUntilMs: 0 };
}

/** Milliseconds an endpoint is passed over after a refused connection: doubled each time, until one stands. */
export const AVOID_MS = { base: 500, cap: 30_000 } as const;

/** A connection was refused. An opinion of this gateway only; the registry's verdict comes by its own way. */
export function noteRefused(load: EndpointLoad, nowMs: number): void {
  load.avoidUntilMs = nowMs + Math.min(AVOID_MS.cap, AVOID_MS.base * 2 ** Math.min(load.failures, 16));
  load.failures += 1;
}

export function noteAnswered(load: EndpointLoad): void {
  load.failures = 0;
  load.avoidUntilMs = 0;
}

export interface Endpoint {
  readonly id: string;
  /** Names the connections: equal key, equal address and TLS. */
  readonly key: string;
  /** `https://10.0.0.1:8443` */
  readonly origin: string;
  /** `10.0.0.1:8443` */
  readonly authority: string;
  readonly weight: number;
  readonly load: EndpointLoad;
  readonly cluster: CompiledCluster;
}

export interface EndpointSet {
  readonly endpoints: readonly Endpoint[];
  /** Running sums of the weights, when they differ. */
  readonly ends?: readonly number[];
}

export const NO_ENDPOINTS: EndpointSet = { endpoints: [] };

/** What a gateway speaks to instances. */
const PROTOCOLS: ReadonlySet<string> = new Set(["http", "https"]);

/** Whether new requests may go there. A weight of 0 keeps an instance known but idle. */
export function usable(instance: CatalogInstance): boolean {
  return (
    (instance.status === "passing" || instance.status === "warning") &&
    instance.lifecycle === "serving" &&
    PROTOCOLS.has(instance.protocol) &&
    instance.weight > 0 &&
    !forbidden(instance.address)
  );
}

/**
 * Addresses that no service has: link-local ones, where clouds keep their metadata service, multicast, unspecified. A
 * registration must not turn a gateway into a door to them.
 */
export function forbidden(address: string): boolean {
  const bare = address.startsWith("[") ? address.slice(1, -1) : address;
  if (!ipaddr.isValid(bare)) return false;
  const range = ipaddr.process(bare).range();
  return range === "linkLocal" || range === "multicast" || range === "unspecified" || range === "broadcast";
}

export function endpointKey(cluster: CompiledCluster, instance: CatalogInstance): string {
  return `${cluster.connectionKey}|${instance.protocol}://${authorityOf(instance)}`;
}

function authorityOf({ address, port }: CatalogInstance): string {
  return `${address.includes(":") && !address.startsWith("[") ? `[${address}]` : address}:${port}`;
}

/** The next set of a cluster. Endpoints that stay keep their load; two instances at one address are one endpoint. */
export function nextEndpoints(
  previous: EndpointSet,
  cluster: CompiledCluster,
  instances: Iterable<CatalogInstance>,
): EndpointSet {
  const loads = new Map(previous.endpoints.map((endpoint) => [endpoint.key, endpoint.load]));
  const next = new Map<string, Endpoint>();
  for (const instance of instances) {
    if (!usable(instance)) continue;
    const key = endpointKey(cluster, instance);
    const authority = authorityOf(instance);
    next.set(key, {
      id: instance.id,
      key,
      origin: `${instance.protocol}://${authority}`,
      authority,
      weight: instance.weight,
      load: loads.get(key) ?? newLoad(),
      cluster,
    });
  }
  // In one order on every gateway, so that two of them given the same chance choose the same.
  return weigh([...next.values()].sort((a, b) => (a.key < b.key ? -1 : 1)));
}
