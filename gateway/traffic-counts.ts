/**
 * The requests that this gateway has handled since its last report: plain numbers, one cell per route and per called instance. A request
 * costs two lookups and a few additions.
 */
import { TRAFFIC_BUCKETS_MS, TRAFFIC_EDGES_MAX, TRAFFIC_ROUTES_MAX, type TrafficReport } from "#traffic/api";
import type { Endpoint } from "./core/balancing/endpoints.ts";
import type { EndpointLoad } from "./core/balancing/endpoint-load.ts";

class Cell {
  requests = 0;
  clientErrors = 0;
  errors = 0;
  refused = 0;
  latencyMs = 0;
  readonly buckets: number[] = Array.from({ length: TRAFFIC_BUCKETS_MS.length + 1 }, () => 0);

  note(status: number, latencyMs: number, isRefused: boolean): void {
    this.requests++;
    if (status >= 500) this.errors++;
    else if (status >= 400) this.clientErrors++;
    if (isRefused) this.refused++;
    this.latencyMs += latencyMs;
    let bucket = 0;
    while (bucket < TRAFFIC_BUCKETS_MS.length && latencyMs > (TRAFFIC_BUCKETS_MS[bucket] as number)) bucket++;
    this.buckets[bucket] = (this.buckets[bucket] ?? 0) + 1;
  }

  counts() {
    const { requests, clientErrors, errors, refused, latencyMs, buckets } = this;
    const last = buckets.findLastIndex((count) => count > 0);
    return { requests, clientErrors, errors, refused, latencyMs, buckets: buckets.slice(0, last + 1) };
  }
}

/** A request that has ended. Without an endpoint it reached no service. */
export interface EndedRequest {
  readonly route: string;
  readonly status: number;
  readonly latencyMs: number;
  readonly isRefused: boolean;
  readonly endpoint: Endpoint | undefined;
}

export class TrafficCounts {
  #routes = new Map<string, Cell>();
  /** By the load of the endpoint, which outlives its replacement by a newer set. */
  #edges = new Map<EndpointLoad, { readonly endpoint: Endpoint; readonly cell: Cell }>();

  /** Whether anything takes the counts. Otherwise nothing is counted, and endpoints that are gone are not kept. */
  isTaken = false;

  note({ route, status, latencyMs, isRefused, endpoint }: EndedRequest): void {
    if (!this.isTaken) return;
    let cell = this.#routes.get(route);
    if (!cell) this.#routes.set(route, (cell = new Cell()));
    cell.note(status, latencyMs, isRefused);
    if (endpoint === undefined) return;
    let edge = this.#edges.get(endpoint.load);
    if (!edge) this.#edges.set(endpoint.load, (edge = { endpoint, cell: new Cell() }));
    edge.cell.note(status, latencyMs, isRefused);
  }

  /**
   * The counts since the last call; undefined when nothing happened and nothing is in flight. The busiest ones that one
   * report may have; more routes than that are rare, and the report says nothing of the others.
   */
  take(endpoints: Iterable<Endpoint>): Omit<TrafficReport, "reporter"> | undefined {
    for (const endpoint of endpoints) {
      if (endpoint.load.inFlight === 0 || this.#edges.has(endpoint.load)) continue;
      this.#edges.set(endpoint.load, { endpoint, cell: new Cell() });
    }
    if (this.#routes.size === 0 && this.#edges.size === 0) return undefined;
    const busiest = (a: { requests: number }, b: { requests: number }) => b.requests - a.requests;
    const routes = [...this.#routes].map(([route, cell]) => ({ route, ...cell.counts() }));
    const edges = [...this.#edges.values()].flatMap(({ endpoint, cell }) => {
      const { namespace, service } = endpoint.cluster;
      // A cluster of fixed addresses is not a service of the registry.
      if (endpoint.cluster.instances !== undefined) return [];
      const { id: instance, load } = endpoint;
      return [{ to: service, toNamespace: namespace, instance, ...cell.counts(), inFlight: load.inFlight }];
    });
    this.#routes = new Map();
    this.#edges = new Map();
    return {
      routes: routes.sort(busiest).slice(0, TRAFFIC_ROUTES_MAX),
      edges: edges.sort(busiest).slice(0, TRAFFIC_EDGES_MAX),
    };
  }
}
