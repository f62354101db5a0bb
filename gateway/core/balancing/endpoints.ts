/**
 * The endpoints of a cluster, as a request sees them. A set is immutable and is replaced as a whole; what is known of an
 * endpoint's load is kept from one set to the next.
 */
import type { CompiledCluster } from "./cluster.ts";
import type { ClusterState, EndpointLoad } from "./endpoint-load.ts";

/** What is spoken on a connection; `auto`: what the upstream chooses by ALPN. */
export type WireProtocol = "http1" | "h2" | "auto";

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
  /** Maglev's table, built when it is first needed; absent: the cluster has another policy. */
  readonly maglev?: () => Uint16Array;
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

/** Adds the running sums of the weights, unless all weigh the same. */
export function weigh(endpoints: readonly Endpoint[]): EndpointSet {
  const first = endpoints[0]?.weight;
  if (endpoints.every((endpoint) => endpoint.weight === first)) return { endpoints };
  let sum = 0;
  return { endpoints, ends: endpoints.map((endpoint) => (sum += endpoint.weight)) };
}
