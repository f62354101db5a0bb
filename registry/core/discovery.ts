/**
 * Whom to send a caller to: filter, order, and who stands in when too few are healthy. Health is told as it is; what
 * follows from it is a flag with a reason, or another tier that the caller asked for.
 */
import { isHealthy, MIN_HEALTHY_PERCENT, type Instance, type Origin, type Panic, type ServicePolicy } from "../api.ts";
import type { Predicate } from "./selector.ts";

/** Services in a row that stand in for each other; a longer chain is a mistake, and so is a circle. */
export const FALLBACKS_MAX = 4;

/** How many instances serve, and how many of these are healthy. */
export interface Headcount {
  readonly serving: number;
  readonly healthy: number;
}

export const NO_PANIC: Panic = { panic: false };

/** Whether so few of those that serve can be believed to be well. Who drains or starts is not counted. */
export function judgePanic({ serving, healthy }: Headcount, { minHealthyPercent }: ServicePolicy): Panic {
  const wanted = minHealthyPercent ?? MIN_HEALTHY_PERCENT;
  if (serving === 0 || healthy * 100 >= wanted * serving) return NO_PANIC;
  return {
    panic: true,
    reason: `${healthy} of ${serving} serving instances are healthy, fewer than the ${wanted} % that are asked for`,
  };
}

export function headcount(instances: readonly Instance[]): Headcount {
  const serving = instances.filter(({ lifecycle }) => lifecycle === "serving");
  return { serving: serving.length, healthy: serving.filter(isHealthy).length };
}

export interface DiscoveryRequest {
  readonly namespace: string;
  readonly service: string;
  /** All must hold: the filter, the subset, tags, status. */
  readonly matches: readonly Predicate[];
  readonly healthy: boolean | undefined;
  /** The caller's zone: its instances first; with `failover` only these while enough of them are healthy. */
  readonly near: string | undefined;
  readonly failover: boolean;
}

export interface CatalogReader {
  instances(namespace: string, service: string): readonly Instance[];
  policy(namespace: string, service: string): ServicePolicy;
}

export interface Discovered extends Panic {
  readonly instances: readonly Instance[];
  readonly from?: Origin;
  /** Every service that was looked at: the answer changes when one of them does. */
  readonly looked: readonly { readonly namespace: string; readonly service: string }[];
}

/**
 * Without `failover`: the service's instances, near ones first. With it, the first of these tiers that is not in panic:
 * those of the caller's zone, all of the service, its fallback's, and so on; when none is, the first of them with anyone
 * healthy; when nobody is, the service itself.
 */
export function discover(catalog: CatalogReader, request: DiscoveryRequest): Discovered {
  const { namespace, service, near, failover } = request;
  const looked = [{ namespace, service }];
  const own = tierOf(catalog, request, looked[0] as ServiceName);
  if (!failover) return { ...answer(own, request), looked };

  const tiers: Tier[] = near === undefined ? [own] : [zoneOf(own, near), own];
  for (let next = own.policy.fallback; next && looked.length < FALLBACKS_MAX;) {
    const name = { namespace: next.namespace ?? namespace, service: next.service };
    if (looked.some((known) => known.namespace === name.namespace && known.service === name.service)) break;
    looked.push(name);
    const tier = tierOf(catalog, request, name, "fallback");
    tiers.push(tier);
    next = tier.policy.fallback;
  }
  const chosen =
    tiers.find(({ count, policy }) => count.serving > 0 && !judgePanic(count, policy).panic) ??
    tiers.find(({ count }) => count.healthy > 0) ??
    own;
  return { ...answer(chosen, request), from: chosen.origin, looked };
}

interface ServiceName {
  readonly namespace: string;
  readonly service: string;
}

interface Tier {
  readonly origin: Origin;
  readonly policy: ServicePolicy;
  readonly instances: readonly Instance[];
  readonly count: Headcount;
}

function tierOf(
  catalog: CatalogReader,
  { matches }: DiscoveryRequest,
  { namespace, service }: ServiceName,
  tier: Origin["tier"] = "service",
): Tier {
  const all = catalog.instances(namespace, service);
  const instances = matches.length === 0 ? all : all.filter((instance) => matches.every((match) => match(instance)));
  const policy = catalog.policy(namespace, service);
  return { origin: { namespace, service, tier }, policy, instances, count: headcount(instances) };
}

function zoneOf({ origin, policy, instances }: Tier, near: string): Tier {
  const there = instances.filter(({ zone }) => zone === near);
  return { origin: { ...origin, tier: "zone" }, policy, instances: there, count: headcount(there) };
}

function answer({ instances, count, policy }: Tier, { healthy, near }: DiscoveryRequest) {
  const asked = healthy === undefined ? instances : instances.filter((instance) => isHealthy(instance) === healthy);
  const ordered =
    near === undefined
      ? asked
      : [...asked.filter(({ zone }) => zone === near), ...asked.filter(({ zone }) => zone !== near)];
  return { instances: ordered, ...judgePanic(count, policy) };
}
