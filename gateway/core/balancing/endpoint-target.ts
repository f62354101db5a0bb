/** How an instance is reached for a cluster: address, port, TLS, and the version of HTTP. */
import type { CompiledCluster } from "./cluster.ts";
import type { Endpoint, WireProtocol } from "./endpoints.ts";
import type { CatalogInstance } from "./instance.ts";

/** Metadata in which an instance states how many milliseconds it keeps an idle connection. */
const KEEP_ALIVE_METADATA = "keep-alive-ms";

/** The registered protocols that a gateway can use: whether over TLS, and the version unless the cluster sets one. */
const PROTOCOLS: ReadonlyMap<string, { readonly secure: boolean; readonly wire: "http1" | "h2" }> = new Map([
  ["http", { secure: false, wire: "http1" }],
  ["https", { secure: true, wire: "http1" }],
  ["h2c", { secure: false, wire: "h2" }],
  ["grpc", { secure: false, wire: "h2" }],
  ["grpcs", { secure: true, wire: "h2" }],
]);

export type EndpointTarget = Omit<Endpoint, "id" | "weight" | "zone" | "load" | "cluster">;

/** Undefined when the instance has no such port, or registered a protocol for it that the gateway does not support. */
export function endpointTarget(cluster: CompiledCluster, instance: CatalogInstance): EndpointTarget | undefined {
  const { address } = instance;
  const at = clusterPort(cluster, instance);
  const known = at && PROTOCOLS.get(at.protocol);
  if (!known) return undefined;
  const host = address.includes(":") && !address.startsWith("[") ? `[${address}]` : address;
  const authority = `${instance.name ?? host}:${at.port}`;
  const secure = known.secure && cluster.protocol !== "h2c";
  const origin = `${secure ? "https" : "http"}://${host}:${at.port}`;
  const protocol = wireProtocol(cluster.protocol, secure, known.wire);
  const ingress = ingressOf(cluster, instance, secure);
  if (cluster.mesh === "required" && !ingress) return undefined;
  const keepAliveMs = keepAliveOf(instance);
  return {
    key: `${cluster.connectionKey}|${protocol}|${keepAliveMs ?? ""}|${origin}|${instance.name ?? ""}${ingress ? `|${ingress.port}` : ""}`,
    origin,
    authority,
    hostname: host,
    port: at.port,
    secure,
    protocol,
    serverName: instance.name,
    ingress,
    keepAliveMs,
  };
}

/** An ingress leads to the main port. A service with TLS of its own keeps that, since TLS within TLS protects nothing more. */
function ingressOf(
  { mesh, port }: CompiledCluster,
  instance: CatalogInstance,
  secure: boolean,
): EndpointTarget["ingress"] {
  const { ingress, namespace, service } = instance;
  if (!ingress || mesh === "off" || port !== undefined || secure) return undefined;
  return { port: ingress.port, namespace, service };
}

/** The instance's port that the cluster uses; undefined when the instance has none of that name. */
export function clusterPort(cluster: CompiledCluster, instance: CatalogInstance) {
  return cluster.port === undefined ? instance : instance.ports.find(({ name }) => name === cluster.port);
}

/** The cluster's setting comes before the instance's. Only TLS has ALPN, which chooses a version. */
function wireProtocol(asked: CompiledCluster["protocol"], secure: boolean, registered: "http1" | "h2"): WireProtocol {
  if (asked === undefined) return registered;
  if (asked === "auto") return secure ? "auto" : registered;
  return asked === "http1" ? "http1" : "h2";
}

function keepAliveOf({ metadata, keepAliveMs }: CatalogInstance): number | undefined {
  const text = metadata?.[KEEP_ALIVE_METADATA];
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : keepAliveMs;
}

/** Identifies the connections to an instance; undefined when the gateway cannot connect to it. */
export function endpointKey(cluster: CompiledCluster, instance: CatalogInstance): string | undefined {
  return endpointTarget(cluster, instance)?.key;
}
