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
  readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: string }[];
  readonly weight: number;
  readonly lifecycle: "starting" | "serving" | "draining" | "stopped";
  readonly status: "passing" | "warning" | "critical" | "unknown";
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Metadata by which an instance says how many milliseconds it keeps an idle connection. */
export const KEEP_ALIVE_METADATA = "keep-alive-ms";

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
  /** Name or address; IPv6 in brackets. */
  readonly hostname: string;
  readonly port: number;
  /** Over TLS. */
  readonly secure: boolean;
  readonly protocol: WireProtocol;
  /** How long the instance keeps an idle connection, as it registered. */
  readonly keepAliveMs: number | undefined;
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

/** Whether new requests may go there. A weight of 0 keeps an instance known but idle. */
export function usable(instance: CatalogInstance): boolean {
  return (
    (instance.status === "passing" || instance.status === "warning") &&
    instance.lifecycle === "serving" &&
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

/** What is spoken on a connection; `auto`: what the upstream chooses by ALPN. */
export type WireProtocol = "http1" | "h2" | "auto";

/** What instances may say they speak, of what a gateway does: whether over TLS, and the version where nobody says. */
const PROTOCOLS: ReadonlyMap<string, { readonly secure: boolean; readonly wire: "http1" | "h2" }> = new Map([
  ["http", { secure: false, wire: "http1" }],
  ["https", { secure: true, wire: "http1" }],
  ["h2c", { secure: false, wire: "h2" }],
  ["grpc", { secure: false, wire: "h2" }],
  ["grpcs", { secure: true, wire: "h2" }],
]);

/** Where an instance is spoken to for a cluster; undefined when it has no such port, or speaks there what we do not. */
type Target = Omit<Endpoint, "id" | "weight" | "load" | "cluster">;

function targetOf(cluster: CompiledCluster, instance: CatalogInstance): Target | undefined {
  const { address } = instance;
  const at = cluster.port === undefined ? instance : instance.ports.find(({ name }) => name === cluster.port);
  const known = at && PROTOCOLS.get(at.protocol);
  if (!known) return undefined;
  const host = address.includes(":") && !address.startsWith("[") ? `[${address}]` : address;
  const authority = `${host}:${at.port}`;
  const secure = known.secure && cluster.protocol !== "h2c";
  const origin = `${secure ? "https" : "http"}://${authority}`;
  const protocol = wireProtocol(cluster.protocol, secure, known.wire);
  const keepAliveMs = keepAliveOf(instance);
  return {
    key: `${cluster.connectionKey}|${protocol}|${keepAliveMs ?? ""}|${origin}`,
    origin,
    authority,
    hostname: host,
    port: at.port,
    secure,
    protocol,
    keepAliveMs,
  };
}

/** What the cluster says, or else what the instance does. In the clear there is nothing to choose by. */
function wireProtocol(asked: CompiledCluster["protocol"], secure: boolean, registered: "http1" | "h2"): WireProtocol {
  if (asked === undefined) return registered;
  if (asked === "auto") return secure ? "auto" : registered;
  return asked === "http1" ? "http1" : "h2";
}

function keepAliveOf({ metadata }: CatalogInstance): number | undefined {
  const text = metadata?.[KEEP_ALIVE_METADATA];
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/** Names the connections to an instance; undefined when there can be none. */
export function endpointKey(cluster: CompiledCluster, instance: CatalogInstance): string | undefined {
  return targetOf(cluster, instance)?.key;
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
    const target = usable(instance) ? targetOf(cluster, instance) : undefined;
    if (!target) continue;
    next.set(target.key, {
      id: instance.id,
      ...target,
      weight: instance.weight,
      load: loads.get(target.key) ?? newLoad(),
      cluster,
    });
  }
  // In one order on every gateway, so that two of them given the same chance choose the same.
  return weigh([...next.values()].sort((a, b) => (a.key < b.key ? -1 : 1)));
}
