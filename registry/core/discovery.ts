/**
 * Discovery: which instances a caller receives, in which order, and which tier replaces a service with too few healthy
 * instances. Health itself is reported unchanged; panic is a flag with a reason, and failover happens only on request.
 */
import { isHealthy, isServing } from "#health/core";
import { MIN_HEALTHY_PERCENT, type Instance, type Origin, type Panic, type ServicePolicy } from "../api.ts";
import type { ServiceName } from "./keys.ts";
import type { Predicate } from "./selector.ts";

/** Services in one chain of fallbacks, the first included. A longer chain is a mistake, and so is a cycle. */
export const FALLBACKS_MAX = 4;

/** The number of serving instances, and of healthy ones among them. */
export interface Headcount {
  readonly serving: number;
  readonly healthy: number;
}

export const NO_PANIC: Panic = { panic: false };

/** Whether implausibly few of the serving instances are healthy. Draining and starting instances are not counted. */
export function judgePanic({ serving, healthy }: Headcount, { minHealthyPercent }: ServicePolicy): Panic {
  const wanted = minHealthyPercent ?? MIN_HEALTHY_PERCENT;
  if (serving === 0 || healthy * 100 >= wanted * serving) return NO_PANIC;
  return {
    panic: true,
    reason: `${healthy} of ${serving} serving instances are healthy, fewer than the ${wanted} % that the policy requires`,
  };
}

export function headcount(instances: readonly Instance[]): Headcount {
  const serving = instances.filter(isServing);
  return { serving: serving.length, healthy: serving.filter(isHealthy).length };
}

export interface DiscoveryRequest {
  readonly namespace: string;
  readonly service: string;
  /** Conditions that an instance must all meet: the filter, the subset, tags, status. */
  readonly matches: readonly Predicate[];
  readonly healthy: boolean | undefined;
  /** The caller's zone: its instances come first. With `failover`, only these while enough of them are healthy. */
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
  /** Every service that was searched: the result changes when one of them does. */
  readonly looked: readonly ServiceName[];
}

/**
 * Without `failover`: the service's instances, near ones first. With it, the first tier that is not in panic: the service's
 * instances in the caller's zone, all of its instances, those of its fallback, and so on. When every tier is in panic, the
 * first tier with a healthy instance; when no tier has one, the service itself.
 */
export function discover(catalog: CatalogReader, request: DiscoveryRequest): Discovered {
  const { namespace, service, near, failover } = request;
  const own = tierOf(catalog, request, { namespace, service });
  const looked: ServiceName[] = [{ namespace, service }];
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
