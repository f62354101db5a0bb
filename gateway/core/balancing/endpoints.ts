/**
 * The endpoints of a cluster, as a request sees them. A set is immutable and is replaced as a whole; what is known of an
 * endpoint's load is kept from one set to the next.
 */
import type { CompiledCluster } from "./cluster.ts";
import type { ClusterState, EndpointLoad } from "./endpoint-load.ts";

/** The version of HTTP on a connection; `auto`: the upstream chooses by ALPN. */
export type WireProtocol = "http1" | "h2" | "auto";

export interface Endpoint {
  readonly id: string;
  /** Identifies the connections: endpoints with equal keys have the same address and TLS settings. */
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
  /** The name that the certificate must have, unless the cluster sets one; undefined: the hostname. */
  readonly serverName: string | undefined;
  /** The ingress of its sidecar, which is dialed in place of the port once there is a certificate. Undefined: it has none to use. */
  readonly ingress?: { readonly port: number; readonly namespace: string; readonly service: string } | undefined;
  /** How long the instance keeps an idle connection, by its registration or its service's policy. */
  readonly keepAliveMs: number | undefined;
  readonly weight: number;
  readonly zone: string | undefined;
  readonly load: EndpointLoad;
  readonly cluster: CompiledCluster;
}

export interface EndpointSet {
  /** In order of their keys. */
  readonly endpoints: readonly Endpoint[];
  /** Running sums of the weights, when they differ. */
  readonly ends?: readonly number[];
  /** The endpoints of the gateway's own zone, and the share of the requests that they receive. */
  readonly near?: EndpointSet & { readonly share: number };
  /** Maglev's table, built when it is first needed; absent: the cluster has another policy. */
  readonly maglev?: () => Uint16Array;
  /** So few instances are healthy that the set contains the unhealthy ones, too. */
  readonly panic?: boolean;
  /** The load of registered instances that are not in the set, by key, for when they return. */
  readonly resting?: ReadonlyMap<string, EndpointLoad>;
  /** The state of the cluster as a whole; absent: the cluster never received a request. */
  readonly state?: ClusterState;
  /** Why the set is empty. */
  readonly absence?: string;
}

export const NO_ENDPOINTS: EndpointSet = { endpoints: [] };

/** Adds the running sums of the weights, unless all weights are equal. */
export function weigh(endpoints: readonly Endpoint[]): EndpointSet {
  const first = endpoints[0]?.weight;
  if (endpoints.every((endpoint) => endpoint.weight === first)) return { endpoints };
  let sum = 0;
  return { endpoints, ends: endpoints.map((endpoint) => (sum += endpoint.weight)) };
}
