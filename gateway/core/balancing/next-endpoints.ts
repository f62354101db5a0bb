/** Which of a service's instances may receive requests now: each change of the catalog makes the next set of a cluster. */
import { costlyInvariant, own } from "#base";
import { isForbiddenAddress } from "#base/address-class";
import { isAlive, isServing } from "#health/core";
import type { CompiledCluster } from "./cluster.ts";
import { newClusterState, newLoad, noteReached, type EndpointLoad } from "./endpoint-load.ts";
import { clusterPort, endpointTarget } from "./endpoint-target.ts";
import { weigh, type Endpoint, type EndpointSet } from "./endpoints.ts";
import { GradientLimit } from "./gradient.ts";
import type { CatalogInstance } from "./instance.ts";
import { BALANCING_POLICIES } from "./policies/mod.ts";

/** Why an instance's address must not be dialed, such as "a forbidden address"; undefined: it may be dialed. */
type RefuseAddress = (address: string, port: number) => string | undefined;

/** Addresses that no gateway dials, whatever its own rules are. */
const forbiddenAddress: RefuseAddress = (address) => (isForbiddenAddress(address) ? "a forbidden address" : undefined);

export interface NextOptions {
  readonly nowMs: number;
  /** The gateway's own zone. */
  readonly zone?: string | undefined;
  /** The gateway's rules for dialing; absent: only addresses that no gateway dials are refused. */
  readonly refusal?: RefuseAddress | undefined;
}

/**
 * How much more than its part of the endpoints a zone is expected to bear: with a quarter of its endpoints down, a zone
 * still serves all of its own requests. Envoy's overprovisioning factor.
 */
const ZONE_CAPACITY = 1.4;

/**
 * The next set of a cluster. An endpoint keeps its load for as long as its instance is registered, so requests in flight
 * and an ejection still count when an unhealthy instance becomes healthy again. Such an endpoint starts slowly, and is
 * tried again although it refused connections before. Two instances at one address are one endpoint.
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
    refusal(instance.address, (clusterPort(cluster, instance) ?? instance).port);
  const known = all.filter(
    (instance) => isEligible(instance) && isInSubset(instance, cluster.subset) && refused(instance) === undefined,
  );
  const healthy = known.filter(({ status }) => isAlive(status));
  const panic = healthy.length > 0 && healthy.length * 100 < known.length * cluster.panicPercent;
  const chosen = new Set(panic ? known : healthy);
  const next = new Map<string, Endpoint>();
  const resting = new Map<string, EndpointLoad>();
  for (const instance of all) {
    const target = endpointTarget(cluster, instance);
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
  // Every gateway has the same order, so that equal random numbers choose equal endpoints.
  const endpoints = [...next.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  costlyInvariant(
    () => endpoints.every(({ load, weight }) => load.cluster === state && weight > 0),
    "all endpoints of a set share its cluster state, and each weighs more than 0",
  );
  const kept = { state, ...(resting.size > 0 ? { resting } : {}) };
  if (endpoints.length === 0) return { endpoints, ...kept, absence: absenceOf(all, cluster, refused) };
  const near = zone === undefined || !cluster.zoneAware || panic ? undefined : nearest(endpoints, known, zone);
  return {
    ...weigh(endpoints),
    ...kept,
    ...(near ? { near } : {}),
    ...BALANCING_POLICIES[cluster.balance].prepare?.(endpoints),
    ...(panic ? { panic } : {}),
  };
}

/** Whether the instance would receive requests if it were healthy. A weight of 0 keeps an instance known but idle. */
function isEligible(instance: CatalogInstance): boolean {
  return isServing(instance) && instance.weight > 0;
}

function isInSubset({ metadata }: CatalogInstance, subset: CompiledCluster["subset"]): boolean {
  return subset.every(([label, value]) => own(metadata, label) === value);
}

/** The endpoint was not in the previous set, and is in the next one. */
function noteReturned(load: EndpointLoad, sinceMs: number): void {
  noteReached(load);
  load.sinceMs = sinceMs;
}

/** Why none of the instances may receive a request: how many have which flaw, each counted by its first one. */
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
  if (!isInSubset(instance, subset)) return "not in the subset";
  if (!isServing(instance)) return instance.lifecycle;
  if (instance.weight === 0) return "with a weight of 0";
  if (refusal !== undefined) return `at ${refusal}`;
  return isAlive(instance.status) ? "without the port or protocol" : instance.status;
}

function nearest(endpoints: readonly Endpoint[], known: readonly CatalogInstance[], zone: string) {
  const near = endpoints.filter((endpoint) => endpoint.zone === zone);
  if (near.length === 0 || near.length === endpoints.length) return undefined;
  const sum = (list: readonly { readonly weight: number }[]) => list.reduce((total, { weight }) => total + weight, 0);
  const whole = sum(known.filter((instance) => instance.zone === zone));
  return { ...weigh(near), share: Math.min(1, (ZONE_CAPACITY * sum(near)) / whole) };
}
