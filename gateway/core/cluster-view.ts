/** What a cluster is like at a moment, for whoever asks why: shares, ejections, breakers. Reads, and changes nothing. */
import { isEjected, readiness } from "./balancer.ts";
import { isSilent, latencyAt } from "./endpoint-load.ts";
import type { EndpointSet } from "./endpoints.ts";
import type { CompiledCluster } from "./table.ts";

export interface EndpointView {
  readonly id: string;
  readonly address: string;
  readonly zone?: string;
  readonly weight: number;
  /** 0 to 1: how much of its weight counts while it starts slowly. */
  readonly readiness: number;
  readonly inFlight: number;
  /** Milliseconds to the head of an answer, as the balancer sees it; absent: none came yet. */
  readonly latencyMs?: number;
  /** Milliseconds that it is still ejected. */
  readonly ejectedMs?: number;
  /** Milliseconds that it is still passed over, for it refused a connection. */
  readonly avoidedMs?: number;
  /** It let a connection hang, and is sent nothing before one stands. */
  readonly silent?: true;
}

export interface ClusterView {
  readonly balance: string;
  /** So few are healthy that all are used. */
  readonly panic: boolean;
  /** Share of the requests that stay in the gateway's zone; absent: zones do not matter. */
  readonly nearShare?: number;
  readonly breaker: Readonly<
    Record<"requests" | "retries" | "connections" | "pending", { readonly now: number; readonly max: number }>
  >;
  /** Requests at once, as latency allows them; absent: not asked for. */
  readonly adaptiveLimit?: number;
  readonly endpoints: readonly EndpointView[];
}

export function viewCluster(set: EndpointSet, cluster: CompiledCluster, nowMs: number): ClusterView {
  const state = set.endpoints[0]?.load.cluster;
  const { breaker } = cluster;
  const left = set.endpoints.filter((endpoint) => !isEjected(endpoint, nowMs)).length;
  const endpoints = set.endpoints.map((endpoint): EndpointView => {
    const { load } = endpoint;
    const latencyMs = latencyAt(load, nowMs);
    return {
      id: endpoint.id,
      address: endpoint.authority,
      ...(endpoint.zone === undefined ? {} : { zone: endpoint.zone }),
      weight: endpoint.weight,
      readiness: readiness(endpoint, { ...cluster, nowMs }),
      inFlight: load.inFlight,
      ...(latencyMs > 0 ? { latencyMs } : {}),
      ...(load.ejectedUntilMs > nowMs ? { ejectedMs: load.ejectedUntilMs - nowMs } : {}),
      ...(isSilent(load)
        ? { silent: true as const }
        : load.avoidUntilMs > nowMs
          ? { avoidedMs: load.avoidUntilMs - nowMs }
          : {}),
    };
  });
  return {
    balance: cluster.balance,
    panic: (set.panic ?? false) || left * 100 < set.endpoints.length * cluster.panicPercent,
    ...(set.near ? { nearShare: set.near.share } : {}),
    breaker: {
      requests: { now: state?.inFlight ?? 0, max: breaker.requestsMax },
      retries: { now: state?.retrying ?? 0, max: breaker.retriesMax },
      connections: { now: state?.connections ?? 0, max: breaker.connectionsMax },
      pending: { now: state?.pending ?? 0, max: breaker.pendingMax },
    },
    ...(state?.gradient ? { adaptiveLimit: state.gradient.limit } : {}),
    endpoints,
  };
}
