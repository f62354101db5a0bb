/**
 * Views of a cluster's current state, for explanations: shares, ejections, breakers. Views of several workers are merged
 * into one, and a view can be applied to a set, so that another process decides as this gateway would.
 */
import type { ClusterView, EndpointView } from "../../api.ts";
import { isEjected } from "../balancing/balancer.ts";
import { readiness } from "../balancing/weighted-draw.ts";
import { isSilent, latencyAt } from "../balancing/endpoint-load.ts";
import type { EndpointSet } from "../balancing/endpoints.ts";
import { GradientLimit } from "../balancing/gradient.ts";
import type { CompiledCluster } from "../routing/table.ts";

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
        ? { silent: true }
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

/** Merges the views of workers that share a cluster: counts are summed, and the worst state of an endpoint counts. */
export function mergeViews(views: readonly ClusterView[]): ClusterView | undefined {
  const [first, ...others] = views;
  return first && others.reduce(merged, first);
}

function merged(a: ClusterView, b: ClusterView): ClusterView {
  const use = (name: keyof ClusterView["breaker"]) => ({
    now: a.breaker[name].now + b.breaker[name].now,
    max: Math.max(a.breaker[name].max, b.breaker[name].max),
  });
  const others = new Map(b.endpoints.map((endpoint) => [endpoint.id, endpoint]));
  const known = new Set(a.endpoints.map(({ id }) => id));
  return {
    ...a,
    panic: a.panic || b.panic,
    breaker: {
      requests: use("requests"),
      retries: use("retries"),
      connections: use("connections"),
      pending: use("pending"),
    },
    ...most("adaptiveLimit", a.adaptiveLimit, b.adaptiveLimit),
    endpoints: [
      ...a.endpoints.map((endpoint) => mergedEndpoint(endpoint, others.get(endpoint.id))),
      ...b.endpoints.filter(({ id }) => !known.has(id)),
    ],
  };
}

function mergedEndpoint(a: EndpointView, b: EndpointView | undefined): EndpointView {
  if (!b) return a;
  return {
    ...a,
    readiness: Math.min(a.readiness, b.readiness),
    inFlight: a.inFlight + b.inFlight,
    ...most("latencyMs", a.latencyMs, b.latencyMs),
    ...most("ejectedMs", a.ejectedMs, b.ejectedMs),
    ...most("avoidedMs", a.avoidedMs, b.avoidedMs),
    ...(a.silent || b.silent ? { silent: true } : {}),
  };
}

/** The larger of two optional numbers; empty when both are absent. */
function most(
  name: "adaptiveLimit" | "latencyMs" | "ejectedMs" | "avoidedMs",
  ...both: readonly (number | undefined)[]
) {
  const values = both.filter((value) => value !== undefined);
  return values.length === 0 ? {} : { [name]: Math.max(...values) };
}

/** Applies a gateway's view to a new set. */
export function adoptView({ endpoints }: EndpointSet, view: ClusterView, nowMs: number): void {
  const state = endpoints[0]?.load.cluster;
  if (state) {
    if (state.gradient && view.adaptiveLimit !== undefined)
      state.gradient = new GradientLimit({ min: view.adaptiveLimit, max: view.adaptiveLimit });
    state.inFlight = view.breaker.requests.now;
    state.retrying = view.breaker.retries.now;
  }
  for (const { id, load } of endpoints) {
    const seen = view.endpoints.find((endpoint) => endpoint.id === id);
    if (!seen) continue;
    load.inFlight = seen.inFlight;
    load.latencyMs = seen.latencyMs ?? 0;
    load.latencyAtMs = nowMs;
    load.ejectedUntilMs = nowMs + (seen.ejectedMs ?? 0);
    load.avoidUntilMs = seen.silent ? Infinity : nowMs + (seen.avoidedMs ?? 0);
  }
}
