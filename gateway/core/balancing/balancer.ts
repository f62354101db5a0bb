/** Which endpoint receives a request: the choice of the cluster's policy, unless that endpoint is not available. */
import { isSilent } from "./endpoint-load.ts";
import { weigh, type Endpoint, type EndpointSet } from "./endpoints.ts";
import { BALANCING_POLICIES } from "./policies/mod.ts";
import { isAvailable, type PickOptions } from "./policies/policy.ts";

/**
 * An endpoint with room that was not tried yet; undefined when there is none. Endpoints that refuse connections or are
 * ejected come last. Endpoints that let connections hang are never chosen.
 */
export function pick(set: EndpointSet, random: () => number, options: PickOptions): Endpoint | undefined {
  const excluded = options.excluded ?? [];
  const from = excluded.length > 0 ? weigh(without(set.endpoints, excluded)) : set;
  const near = from.near && random() < from.near.share ? from.near : undefined;
  const chosen = choose(near ?? from, random, options);
  if (!chosen) return undefined;
  const { inFlightMax, nowMs } = options;
  if (isAvailable(chosen, options)) return chosen;
  // Another endpoint may be available although the chosen one is not. Only now is it worth looking at all of them.
  const roomy = from.endpoints.filter(({ load }) => load.inFlight < inFlightMax && !isSilent(load));
  const available = roomy.filter((endpoint) => isAvailable(endpoint, options));
  if (panics(set, options)) {
    const reachable = roomy.filter(({ load }) => load.avoidUntilMs <= nowMs);
    return choose(weigh(reachable.length > 0 ? reachable : roomy), random, options);
  }
  return choose(weigh(available.length > 0 ? available : roomy), random, options);
}

/** Whether no endpoint of the set takes connections, as far as this gateway has seen. */
export function isDead({ endpoints }: EndpointSet, nowMs: number): boolean {
  return endpoints.length > 0 && endpoints.every(({ load }) => load.avoidUntilMs > nowMs);
}

export function isEjected({ load }: Pick<Endpoint, "load">, nowMs: number): boolean {
  return load.ejectedUntilMs > nowMs;
}

/** Whether so many endpoints are ejected that the others could not serve all requests. */
function panics({ endpoints }: EndpointSet, { panicPercent = 0, nowMs }: PickOptions): boolean {
  const left = endpoints.reduce((count, endpoint) => count + (isEjected(endpoint, nowMs) ? 0 : 1), 0);
  return left * 100 < endpoints.length * panicPercent;
}

function choose(set: EndpointSet, random: () => number, options: PickOptions): Endpoint | undefined {
  if (set.endpoints.length < 2) return set.endpoints[0];
  return BALANCING_POLICIES[options.balance ?? "p2c"].pick(set, random, options);
}

function without(endpoints: readonly Endpoint[], excluded: readonly Endpoint[]): Endpoint[] {
  return endpoints.filter((endpoint) => !excluded.some((other) => other.key === endpoint.key));
}
