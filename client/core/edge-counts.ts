/** The calls of a process to each instance since the last report. */
import { TRAFFIC_BUCKETS_MS, type EdgeTraffic } from "#traffic/api";

/** The counts of one edge. Mutable, since each call adds to them. */
export interface EdgeCounts {
  readonly to: string;
  readonly toNamespace: string;
  readonly instance: string;
  requests: number;
  clientErrors: number;
  errors: number;
  latencyMs: number;
  readonly buckets: number[];
}

export function newEdge(edge: Pick<EdgeCounts, "to" | "toNamespace" | "instance">): EdgeCounts {
  return { ...edge, requests: 0, clientErrors: 0, errors: 0, latencyMs: 0, buckets: [] };
}

/** A call has ended. `status` 0: without an answer. */
export function countCall(edge: EdgeCounts, status: number, latencyMs: number): void {
  edge.requests += 1;
  if (status === 0 || status >= 500) edge.errors += 1;
  else if (status >= 400) edge.clientErrors += 1;
  edge.latencyMs += latencyMs;
  const found = TRAFFIC_BUCKETS_MS.findIndex((bound) => latencyMs <= bound);
  const index = found < 0 ? TRAFFIC_BUCKETS_MS.length : found;
  while (edge.buckets.length <= index) edge.buckets.push(0);
  edge.buckets[index] = (edge.buckets[index] ?? 0) + 1;
}

/** The edge as it is reported. */
export function edgeTraffic(from: string, { latencyMs, ...counts }: EdgeCounts): EdgeTraffic {
  return { from, ...counts, latencyMs: Math.round(latencyMs * 1000) / 1000 };
}
