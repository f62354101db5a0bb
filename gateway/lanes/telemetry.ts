/**
 * The gateway's metrics. Labels are bounded: routes by the config, methods and flags by a list. A child is looked up
 * once per route, method and status, and kept; those of removed routes are dropped.
 */
import { LATENCY_BUCKETS_SECONDS, type CounterChild, type HistogramChild, type Host, type Metrics } from "#base";
import { TrafficCounts } from "../traffic-counts.ts";
import { COMMON_METHODS, GATEWAY_FLAGS, type ClusterView, type GatewayFlag } from "../api.ts";

const METHODS: ReadonlySet<string> = new Set(COMMON_METHODS);
/**
 * The label for all other methods, because a client may send any. @see OpenTelemetry's semantic conventions,
 * http.request.method
 */
export const OTHER_METHOD = "_OTHER";
export function boundedMethod(method: string): string {
  return METHODS.has(method) ? method : OTHER_METHOD;
}

/** Of a bounded method. */
export function spanName(method: string): string {
  return method === OTHER_METHOD ? "HTTP" : method;
}

/** The label of requests without a route; core/check/config.ts reserves the name. */
export const NO_ROUTE = "none";

interface RouteChildren {
  readonly requests: Map<string, { labels: [string, string, string]; child: CounterChild }>;
  readonly durations: Map<string, { labels: [string, string, string]; child: HistogramChild }>;
}

export class GatewayMetrics {
  readonly #requests: ReturnType<Metrics["counter"]>;
  readonly #durations: ReturnType<Metrics["histogram"]>;
  readonly #retries: ReturnType<Metrics["counter"]>;
  readonly #refusals: Map<GatewayFlag, CounterChild>;
  readonly #configs: ReturnType<Metrics["counter"]>;
  readonly #ejections: CounterChild;
  readonly #routes = new Map<string, RouteChildren>();
  readonly inFlight: { inc(): void; dec(): void };
  /** For reports to the control plane. */
  readonly traffic = new TrafficCounts();

  /** The functions are called when the metrics are read. */
  constructor(
    { metrics }: Host,
    {
      connections,
      clusters,
      revision,
      workers = 1,
    }: {
      connections: () => { readonly open: number; readonly idle: number; readonly connecting: number };
      clusters: () => ReadonlyMap<string, ClusterView>;
      revision: () => number;
      /** Processes of the gateway, each of which counts for itself. */
      workers?: number;
    },
  ) {
    clusterMetrics(metrics, clusters, workers);
    metrics.gauge({
      name: "posthouse_gateway_catalog_revision",
      help: "Revision of the registry data in use; the lowest one of several workers.",
      across: "min",
      collect: (family) => family.labels().set(revision()),
    });
    metrics.gauge({
      name: "posthouse_gateway_upstream_connections",
      help: "Connections to upstreams, each in one state: active, idle or connecting.",
      labelNames: ["state"],
      collect: (family) => {
        const { open, idle, connecting } = connections();
        family.labels("active").set(open - idle);
        family.labels("idle").set(idle);
        family.labels("connecting").set(connecting);
      },
    });
    this.#requests = metrics.counter({
      name: "posthouse_gateway_requests_total",
      help: "Requests answered, by route, method and status.",
      labelNames: ["route", "method", "status"],
    });
    this.#durations = metrics.histogram({
      name: "posthouse_gateway_request_duration_seconds",
      help: "Time from a request's head to the last byte of its answer.",
      labelNames: ["route", "method", "status_class"],
      buckets: LATENCY_BUCKETS_SECONDS,
    });
    this.#retries = metrics.counter({
      name: "posthouse_gateway_upstream_retries_total",
      help: "Further tries, by kind: fresh connection, other endpoint, after a reset or timeout, for a status, hedged.",
      labelNames: ["kind"],
    });
    const refusals = metrics.counter({
      name: "posthouse_gateway_refusals_total",
      help: "Requests that the gateway rejected or cut, by flag.",
      labelNames: ["flag"],
    });
    this.#refusals = new Map([...new Set(Object.values(GATEWAY_FLAGS))].map((flag) => [flag, refusals.labels(flag)]));
    this.#ejections = metrics
      .counter({
        name: "posthouse_gateway_ejections_total",
        help: "Ejections of endpoints after too many failed answers.",
      })
      .labels();
    this.#configs = metrics.counter({
      name: "posthouse_gateway_configs_total",
      help: "Configs received, by result: applied or refused.",
      labelNames: ["result"],
    });
    this.inFlight = metrics
      .gauge({ name: "posthouse_gateway_requests_in_flight", help: "Requests being served." })
      .labels();
  }

  /** `label`: the bounded method. Without `seconds`: the start is not known. */
  request(route: string, label: string, status: number, seconds?: number): void {
    const children = this.#of(route);
    const code = String(status);
    const key = `${label} ${code}`;
    let counted = children.requests.get(key);
    if (!counted) {
      const labels: [string, string, string] = [route, label, code];
      children.requests.set(key, (counted = { labels, child: this.#requests.labels(...labels) }));
    }
    counted.child.inc();
    if (seconds === undefined) return;
    const statusClass = `${code[0]}xx`;
    const durationKey = `${label} ${statusClass}`;
    let timed = children.durations.get(durationKey);
    if (!timed) {
      const labels: [string, string, string] = [route, label, statusClass];
      children.durations.set(durationKey, (timed = { labels, child: this.#durations.labels(...labels) }));
    }
    timed.child.observe(seconds);
  }

  refusal(flag: GatewayFlag): void {
    this.#refusals.get(flag)?.inc();
  }

  ejected(): void {
    this.#ejections.inc();
  }

  retry(kind: string): void {
    this.#retries.labels(kind).inc();
  }

  config(result: "applied" | "refused"): void {
    this.#configs.labels(result).inc();
  }

  /** Drops the children of removed routes. */
  retain(routes: ReadonlySet<string>): void {
    for (const [route, children] of this.#routes) {
      if (routes.has(route) || route === NO_ROUTE) continue;
      for (const { labels } of children.requests.values()) this.#requests.remove(...labels);
      for (const { labels } of children.durations.values()) this.#durations.remove(...labels);
      this.#routes.delete(route);
    }
  }

  #of(route: string): RouteChildren {
    let children = this.#routes.get(route);
    if (!children) this.#routes.set(route, (children = { requests: new Map(), durations: new Map() }));
    return children;
  }
}

/** One gauge for each number: a label never separates a part from its total, or a load from its limit. */
function clusterMetrics(metrics: Metrics, clusters: () => ReadonlyMap<string, ClusterView>, workers: number): void {
  metrics.gauge({
    name: "posthouse_gateway_cluster_endpoints",
    help: "Endpoints of a cluster, ejected ones included.",
    labelNames: ["cluster"],
    across: "max",
    collect: (family) => {
      for (const [cluster, { endpoints }] of clusters()) family.labels(cluster).set(endpoints.length);
    },
  });
  metrics.gauge({
    name: "posthouse_gateway_cluster_endpoints_ejected",
    help: "Endpoints of a cluster that are ejected.",
    labelNames: ["cluster"],
    across: "max",
    collect: (family) => {
      for (const [cluster, { endpoints }] of clusters()) {
        family.labels(cluster).set(endpoints.filter(({ ejectedMs }) => ejectedMs !== undefined).length);
      }
    },
  });
  metrics.gauge({
    name: "posthouse_gateway_cluster_panic",
    help: "1 while too few of a cluster's endpoints are healthy, so that requests go to all of them.",
    labelNames: ["cluster"],
    across: "max",
    collect: (family) => {
      for (const [cluster, { panic }] of clusters()) family.labels(cluster).set(panic ? 1 : 0);
    },
  });
  metrics.gauge({
    name: "posthouse_gateway_cluster_requests_in_flight",
    help: "Requests to a cluster that are in flight.",
    labelNames: ["cluster"],
    collect: (family) => {
      for (const [cluster, { breaker }] of clusters()) family.labels(cluster).set(breaker.requests.now);
    },
  });
  metrics.gauge({
    name: "posthouse_gateway_cluster_requests_limit",
    help: "Requests that a cluster may have in flight: the lower of its breaker's limit and the adaptive one.",
    labelNames: ["cluster"],
    collect: (family) => {
      for (const [cluster, { breaker, adaptiveLimit }] of clusters()) {
        // The adaptive limit is per worker, and the breaker's limit is split among the workers, so that their sum is
        // the limit.
        family.labels(cluster).set(Math.min(breaker.requests.max / workers, adaptiveLimit ?? Infinity));
      }
    },
  });
}
