/**
 * Routes from hints: the path prefixes in the policies of services in the registry. The gateway's config lists the
 * services whose hints count, and can only restrict the routes: narrower hosts, methods and prefixes, required tokens,
 * limits. A hinted route always leads to the service that hinted it, and comes after every route of the config.
 */
import {
  GATEWAY_DEFAULTS,
  type ConfigProblem,
  type GatewayConfig,
  type HintedService,
  type RouteConfig,
} from "../../api.ts";
import { isWithin } from "../paths/path-pattern.ts";
import { canonicalTarget } from "../paths/path.ts";

/** Path prefixes by service. */
export type Hints = ReadonlyMap<string, readonly string[]>;

export const NO_HINTS: Hints = new Map();

/** `problems`: hints that do not become routes, and why. An ambiguous hint is never served. */
export function hintedRoutes(
  config: GatewayConfig,
  hints: Hints,
): { readonly routes: readonly RouteConfig[]; readonly problems: readonly ConfigProblem[] } {
  const policies = config.hints ?? [];
  const routes: RouteConfig[] = [];
  const problems: ConfigProblem[] = [];
  if (policies.length === 0) return { routes, problems };
  const takers = new Map<string, string[]>();
  for (const [service, prefixes] of [...hints].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const policy = policies.find((one) => one.service === service) ?? policies.find((one) => one.service === "*");
    if (!policy) continue;
    const problem = (message: string) => problems.push({ pointer: `/hints/${policies.indexOf(policy)}`, message });
    for (const given of new Set(prefixes)) {
      const prefix = prefixOf(given);
      if (prefix === undefined) problem(`Service "${service}" hints "${given}", which is not a canonical path.`);
      else if (!(policy.within ?? ["/"]).some((outer) => isWithin(prefix, prefixOf(outer) ?? outer))) {
        problem(`Service "${service}" hints "${prefix}", which is outside the prefixes that its "within" allows.`);
      } else {
        const others = takers.get(prefix) ?? [];
        // A prefix with and without a trailing slash is the same.
        if (others.includes(service)) continue;
        takers.set(prefix, [...others, service]);
        routes.push(routeOf(service, prefix, policy));
      }
    }
  }
  const clashes = [...takers].filter(([, services]) => services.length > 1);
  for (const [prefix, services] of clashes) {
    problems.push({
      pointer: "/hints",
      message: `${services.join(" and ")} hint the same prefix "${prefix}", so none of them gets a route for it. Remove it from all but one of them.`,
    });
  }
  const contested = new Set(clashes.map(([prefix]) => prefix));
  return { routes: routes.filter(({ match }) => !contested.has(match.path?.prefix ?? "")), problems };
}

/** The prefix in the form that routes use, or undefined when no request can have it. */
function prefixOf(text: string): string | undefined {
  const canonical = canonicalTarget(text);
  if (!canonical.ok || canonical.query !== "" || canonical.path !== text) return undefined;
  return text.length > 1 && text.endsWith("/") ? text.slice(0, -1) : text;
}

function routeOf(service: string, prefix: string, policy: HintedService): RouteConfig {
  const { service: _service, within: _within, hosts, methods, bodyBytesMax, ...policies } = policy;
  return {
    name: `hint:${service}:${prefix}`,
    match: { path: { prefix }, ...(hosts ? { hosts } : {}), ...(methods ? { methods } : {}) },
    service,
    ...policies,
    // Never above the default of a route.
    bodyBytesMax: Math.min(bodyBytesMax ?? Infinity, GATEWAY_DEFAULTS.bodyBytesMax),
  };
}
