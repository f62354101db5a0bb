/** The state of services as their lists show it, and the traffic that they receive. Pure. */
import type { ServiceSummary } from "#registry/api";
import type { TrafficEdge } from "#traffic/api";

/** In order of trouble, the worst first. */
export const SERVICE_STATES = ["down", "degraded", "warning", "unknown", "draining", "passing", "empty"] as const;
export type ServiceState = (typeof SERVICE_STATES)[number];

export function serviceState(counts: ServiceSummary): ServiceState {
  const { instances, passing, warning, critical, unknown, draining } = counts;
  if (instances === 0) return "empty";
  if (passing + warning === 0) return critical > 0 ? "down" : "unknown";
  if (critical > 0) return "degraded";
  if (warning > 0) return "warning";
  if (unknown > 0) return "unknown";
  return draining === instances ? "draining" : "passing";
}

/** The requests that a service receives, per second. */
export interface ServiceLoad {
  readonly rps: number;
  readonly errors: number;
  /** The highest of its callers, in milliseconds; null: no requests. */
  readonly p99: number | null;
}

/** The present load of each called service of the namespace. */
export function loadByService(edges: readonly TrafficEdge[], namespace: string): ReadonlyMap<string, ServiceLoad> {
  const loads = new Map<string, ServiceLoad>();
  for (const { to, toNamespace, now } of edges) {
    if (toNamespace !== namespace) continue;
    loads.set(to, addLoad(loads.get(to), now));
  }
  return loads;
}

export function addLoad(known: ServiceLoad | undefined, { rps, errors, p99 }: ServiceLoad): ServiceLoad {
  if (!known) return { rps, errors, p99 };
  return { rps: known.rps + rps, errors: known.errors + errors, p99: highest(known.p99, p99) };
}

function highest(one: number | null, other: number | null): number | null {
  return one === null ? other : other === null ? one : Math.max(one, other);
}

/** Percent of requests that failed; null without requests. */
export function errorPercent({ rps, errors }: { readonly rps: number; readonly errors: number }): number | null {
  return rps > 0 ? (errors / rps) * 100 : null;
}
