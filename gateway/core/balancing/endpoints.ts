/**
 * The endpoints of a cluster: who of a service's instances may be sent a request now. A set is immutable and swapped
 * whole, cluster by cluster; what is in flight to an endpoint lives on through the swaps.
 */
import { own } from "#base";
import { isForbiddenAddress } from "#base/address-class";

import { newClusterState, newLoad, noteReached, type ClusterState, type EndpointLoad } from "./endpoint-load.ts";
import { GradientLimit } from "./gradient.ts";
import { maglevTable } from "./maglev.ts";
import type { CompiledCluster } from "./cluster.ts";
import type { CatalogInstance } from "./instance.ts";

/** Metadata by which an instance says how many milliseconds it keeps an idle connection. */
const KEEP_ALIVE_METADATA = "keep-alive-ms";

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
  /** What a certificate must be for, where the cluster does not say; undefined: the hostname. */
  readonly serverName: string | undefined;
  /** How long the instance keeps an idle connection, as it registered or as its service's policy says. */
  readonly keepAliveMs: number | undefined;
  readonly weight: number;
  readonly zone: string | undefined;
  readonly load: EndpointLoad;
  readonly cluster: CompiledCluster;
}

export interface EndpointSet {
  readonly endpoints: readonly Endpoint[];
  /** Running sums of the weights, when they differ. */
  readonly ends?: readonly number[];
  /** Those of the gateway's own zone, and which share of the requests they get. */
  readonly near?: EndpointSet & { readonly share: number };
  /** Of Maglev; built when first asked for. */
  readonly table?: () => Uint16Array;
  /** So few are healthy that the others are in it, too. */
  readonly panic?: boolean;
  /** What is known of instances that are there and not in it, by key: they may be back in a second. */
  readonly resting?: ReadonlyMap<string, EndpointLoad>;
  /** Of the cluster as a whole; absent: nothing was ever sent there. */
  readonly state?: ClusterState;
  /** Of an empty set: why it is, in words. */
  readonly absence?: string;
}

export const NO_ENDPOINTS: EndpointSet = { endpoints: [] };

function isHealthy({ status }: CatalogInstance): boolean {
  return status === "passing" || status === "warning";
}

/** Whether requests would go there, were it healthy. A weight of 0 keeps an instance known but idle. */
function eligible({ lifecycle, weight }: CatalogInstance): boolean {
  return lifecycle === "serving" && weight > 0;
}

/** What an instance's address is that must not be dialled; undefined: it may be. */
type RefuseAddress = (address: string, port: number) => string | undefined;

/** Addresses that no gateway dials, whatever else its own rules exclude. */
const forbiddenAddress: RefuseAddress = (address) => (isForbiddenAddress(address) ? "a forbidden address" : undefined);

function inSubset({ metadata }: CatalogInstance, subset: CompiledCluster["subset"]): boolean {
  return subset.every(([label, value]) => own(metadata, label) === value);
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
type Target = Omit<Endpoint, "id" | "weight" | "zone" | "load" | "cluster">;

function targetOf(cluster: CompiledCluster, instance: CatalogInstance): Target | undefined {
  const { address } = instance;
  const at = portOf(cluster, instance);
  const known = at && PROTOCOLS.get(at.protocol);
  if (!known) return undefined;
  const host = address.includes(":") && !address.startsWith("[") ? `[${address}]` : address;
  const authority = `${instance.name ?? host}:${at.port}`;
  const secure = known.secure && cluster.protocol !== "h2c";
  const origin = `${secure ? "https" : "http"}://${host}:${at.port}`;
  const protocol = wireProtocol(cluster.protocol, secure, known.wire);
  const keepAliveMs = keepAliveOf(instance);
  return {
    key: `${cluster.connectionKey}|${protocol}|${keepAliveMs ?? ""}|${origin}|${instance.name ?? ""}`,
    origin,
    authority,
    hostname: host,
    port: at.port,
    secure,
    protocol,
    serverName: instance.name,
    keepAliveMs,
  };
}

function portOf(cluster: CompiledCluster, instance: CatalogInstance) {
  return cluster.port === undefined ? instance : instance.ports.find(({ name }) => name === cluster.port);
}

/** What the cluster says, or else what the instance does. In the clear there is nothing to choose by. */
function wireProtocol(asked: CompiledCluster["protocol"], secure: boolean, registered: "http1" | "h2"): WireProtocol {
  if (asked === undefined) return registered;
  if (asked === "auto") return secure ? "auto" : registered;
  return asked === "http1" ? "http1" : "h2";
}

function keepAliveOf({ metadata, keepAliveMs }: CatalogInstance): number | undefined {
  const text = metadata?.[KEEP_ALIVE_METADATA];
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : keepAliveMs;
}

/** Names the connections to an instance; undefined when there can be none. */
export function endpointKey(cluster: CompiledCluster, instance: CatalogInstance): string | undefined {
  return targetOf(cluster, instance)?.key;
}

export interface NextOptions {
  readonly nowMs: number;
  /** The gateway's own. */
  readonly zone?: string | undefined;
  /** By the gateway's rules for dialling; absent: addresses that no gateway dials are refused. */
  readonly refusal?: RefuseAddress | undefined;
}

/**
 * How much more than its share of the endpoints a zone is trusted to bear: with a quarter of it down it still serves all
 * of its own. Envoy's overprovisioning factor.
 */
const ZONE_CAPACITY = 1.4;

/**
 * The next set of a cluster. Endpoints keep their load for as long as their instance is registered, so that what is in
 * flight or ejected is so still when it is well again; one that was away starts slowly all the same, and is tried before
 * it is held to have refused. Two instances at one address are one endpoint.
 */
export function nextEndpoints(
  previous: EndpointSet,
  cluster: CompiledCluster,
  instances: Iterable<CatalogInstance>,
  { nowMs, zone, refusal = forbiddenAddress }: NextOptions = { nowMs: 0 },
): EndpointSet {
  const loads = new Map(previous.endpoints.map((endpoint) => [endpoint.key, endpoint.load]));
  const state = previous.state ?? newClusterState();
  state.gradient = cluster.adaptive && (state.gradient ?? new GradientLimit(cluster.adaptive));
  if (cluster.adaptive) state.gradient?.use(cluster.adaptive);
  const sinceMs = previous.endpoints.length > 0 ? nowMs : -Infinity;
  const all = [...instances];
  const refused = (instance: CatalogInstance) =>
    refusal(instance.address, (portOf(cluster, instance) ?? instance).port);
  const known = all.filter(
    (instance) => eligible(instance) && inSubset(instance, cluster.subset) && refused(instance) === undefined,
  );
  const healthy = known.filter(isHealthy);
  const panic = healthy.length > 0 && healthy.length * 100 < known.length * cluster.panicPercent;
  const chosen = new Set(panic ? known : healthy);
  const next = new Map<string, Endpoint>();
  const resting = new Map<string, EndpointLoad>();
  for (const instance of all) {
    const target = targetOf(cluster, instance);
    if (!target) continue;
    const { key } = target;
    const load = loads.get(key) ?? previous.resting?.get(key);
    if (!chosen.has(instance)) {
      if (load) resting.set(key, load);
      continue;
    }
    if (load && !loads.has(key)) noteReturned(load, sinceMs);
    const { id, weight, zone: where } = instance;
    next.set(key, { id, ...target, weight, zone: where, load: load ?? newLoad(state, sinceMs), cluster });
  }
  for (const key of next.keys()) resting.delete(key);
  // In one order on every gateway, so that two of them given the same chance choose the same.
  const endpoints = [...next.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  const kept = { state, ...(resting.size > 0 ? { resting } : {}) };
  if (endpoints.length === 0) return { endpoints, ...kept, absence: absenceOf(all, cluster, refused) };
  const near = zone === undefined || !cluster.zoneAware || panic ? undefined : nearest(endpoints, known, zone);
  return {
    ...weigh(endpoints),
    ...kept,
    ...(near ? { near } : {}),
    ...(cluster.balance === "maglev" ? { table: once(() => maglevTable(endpoints)) } : {}),
    ...(panic ? { panic } : {}),
  };
}

/** One that was away is well again. */
function noteReturned(load: EndpointLoad, sinceMs: number): void {
  noteReached(load);
  load.sinceMs = sinceMs;
}

/** Why none of these may be sent a request: each by the first thing that speaks against it. */
function absenceOf(
  instances: readonly CatalogInstance[],
  cluster: CompiledCluster,
  refused: (instance: CatalogInstance) => string | undefined,
): string {
  const counts = new Map<string, number>();
  for (const instance of instances) {
    const flaw = flawOf(instance, cluster, refused(instance));
    counts.set(flaw, (counts.get(flaw) ?? 0) + 1);
  }
  const parts = [...counts].map(([flaw, count]) => `${count} ${flaw}`);
  return parts.length === 0 ? "none is registered" : `of those registered, ${parts.join(", ")}`;
}

function flawOf(instance: CatalogInstance, { subset }: CompiledCluster, refusal: string | undefined): string {
  if (!inSubset(instance, subset)) return "not in the subset";
  if (instance.lifecycle !== "serving") return instance.lifecycle;
  if (instance.weight === 0) return "with a weight of 0";
  if (refusal !== undefined) return `at ${refusal}`;
  return isHealthy(instance) ? "without the port or protocol" : instance.status;
}

function nearest(endpoints: readonly Endpoint[], known: readonly CatalogInstance[], zone: string) {
  const near = endpoints.filter((endpoint) => endpoint.zone === zone);
  if (near.length === 0 || near.length === endpoints.length) return undefined;
  const sum = (list: readonly { readonly weight: number }[]) => list.reduce((total, { weight }) => total + weight, 0);
  const whole = sum(known.filter((instance) => instance.zone === zone));
  return { ...weigh(near), share: Math.min(1, (ZONE_CAPACITY * sum(near)) / whole) };
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

/** Adds the running sums of the weights, unless all weigh the same. */
export function weigh(endpoints: readonly Endpoint[]): EndpointSet {
  const first = endpoints[0]?.weight;
  if (endpoints.every((endpoint) => endpoint.weight === first)) return { endpoints };
  let sum = 0;
  return { endpoints, ends: endpoints.map((endpoint) => (sum += endpoint.weight)) };
}
