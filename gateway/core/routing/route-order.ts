/**
 * Which of two routes comes first: a total order that people can work out, and that does not depend on where a route
 * stands in its file.
 *
 * Routes of the config before those of hints; higher priority; exact host, then the longer wildcard, then any host;
 * exact path, then template (the more written out), regex (the longer), prefix (the longer); with methods before
 * without, fewer before more; more header conditions, then query, then cookie conditions; with source networks before
 * without; then with a scheme before without; at last the name.
 * @see Gateway API, HTTPRouteRule.matches, for the middle of it
 */
import type { CompiledRoute } from "./route.ts";
import { comparePaths } from "../paths/path-pattern.ts";

export interface Ranked {
  readonly route: CompiledRoute;
  /** The one of the route's hosts that this is about; empty for any host. */
  readonly host: string;
}

/** The criteria in their order, each with what an operator calls it. */
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

/** What decides between two routes; `name` when nothing else does. */
export function decidedBy(a: Ranked, b: Ranked): string {
  return CRITERIA.find(([, compare]) => compare(a, b) !== 0)?.[0] ?? "host";
}

/** Hosts are at most 255 characters, so an exact one is above every wildcard. */
function hostRank(host: string): number {
  if (host === "") return 0;
  return host.startsWith("*.") ? host.length : 1000;
}

function methodRank({ route }: Ranked): number {
  return route.conditions.methods?.size ?? 100;
}

/** `*.example` stands for one label or more before `.example`; another wildcard below it counts too. */
export function hostMatches(pattern: string, host: string): boolean {
  return (
    pattern === "" ||
    pattern === host ||
    (pattern.startsWith("*.") && host.endsWith(pattern.slice(1)) && host.length >= pattern.length)
  );
}
