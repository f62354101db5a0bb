/**
 * Which of two routes comes first: a total order that people can work out, and that does not depend on the order of the
 * routes in their file.
 *
 * Routes of the config before those of hints; higher priority; exact host, then the longer wildcard, then any host;
 * exact path, then template (the one with more literals), regex (the longer), prefix (the longer); with methods before
 * without, fewer before more; more header conditions, then query, then cookie conditions; with source networks before
 * without; with a scheme before without; finally the name.
 * @see Gateway API, HTTPRouteRule.matches, for the criteria from host to query
 */
import type { CompiledRoute } from "./route.ts";
import { comparePaths } from "../paths/path-pattern.ts";

export interface Ranked {
  readonly route: CompiledRoute;
  /** One of the route's hosts; empty for any host. */
  readonly host: string;
}

/** The criteria in their order, each with the name that operators see. */
const CRITERIA: readonly (readonly [name: string, compare: (a: Ranked, b: Ranked) => number])[] = [
  ["hint", (a, b) => Number(a.route.hinted) - Number(b.route.hinted)],
  ["priority", (a, b) => b.route.priority - a.route.priority],
  ["host", (a, b) => hostRank(b.host) - hostRank(a.host)],
  ["path", (a, b) => comparePaths(a.route.path, b.route.path)],
  ["methods", (a, b) => methodRank(a) - methodRank(b)],
  ["headers", (a, b) => b.route.conditions.headers.length - a.route.conditions.headers.length],
  ["query", (a, b) => b.route.conditions.query.length - a.route.conditions.query.length],
  ["cookies", (a, b) => b.route.conditions.cookies.length - a.route.conditions.cookies.length],
  [
    "source",
    (a, b) => Number(a.route.conditions.source === undefined) - Number(b.route.conditions.source === undefined),
  ],
  [
    "scheme",
    (a, b) => Number(a.route.conditions.scheme === undefined) - Number(b.route.conditions.scheme === undefined),
  ],
  ["name", (a, b) => (a.route.name === b.route.name ? 0 : a.route.name < b.route.name ? -1 : 1)],
];

export function compareRanked(a: Ranked, b: Ranked): number {
  for (const [, compare] of CRITERIA) {
    const difference = compare(a, b);
    if (difference !== 0) return difference;
  }
  return a.host === b.host ? 0 : a.host < b.host ? -1 : 1;
}

/** The first criterion in which two routes differ. */
export function decidedBy(a: Ranked, b: Ranked): string {
  return CRITERIA.find(([, compare]) => compare(a, b) !== 0)?.[0] ?? "host";
}

/** Hosts have at most 255 characters, so an exact one ranks above every wildcard. */
function hostRank(host: string): number {
  if (host === "") return 0;
  return host.startsWith("*.") ? host.length : 1000;
}

function methodRank({ route }: Ranked): number {
  return route.conditions.methods?.size ?? 100;
}

/** `*.example` matches one or more labels before `.example`, including a narrower wildcard such as `*.a.example`. */
export function hostMatches(pattern: string, host: string): boolean {
  return (
    pattern === "" ||
    pattern === host ||
    (pattern.startsWith("*.") && host.endsWith(pattern.slice(1)) && host.length >= pattern.length)
  );
}
