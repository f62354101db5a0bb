/**
 * Routes that interfere with each other: two that match the same requests at the same priority, a route that can never
 * match because an earlier one matches all of its requests, and regexes that slow down all requests. Only the patterns
 * are compared, and each route only with single other routes, not with several combined.
 */
import type { ConfigProblem, GatewayConfig, Listener, RouteConfig } from "../../api.ts";
import { COMMON, compileConditions, conditionKeys, conditionsCover, type Conditions } from "./conditions.ts";
import { compareRanked, hostMatches } from "./route-order.ts";
import { grpcPath, pathCovers, pathOf, templateShape, type PathPattern } from "../paths/path-pattern.ts";
import { literalHead } from "../paths/regex.ts";
import type { CompiledRoute } from "./route.ts";
import { allListeners, attaches } from "./table.ts";

interface Matcher {
  readonly config: RouteConfig;
  readonly index: number;
  readonly hosts: readonly string[];
  /** The listeners that it is attached to, listed or not. */
  readonly listeners: ReadonlySet<string>;
  readonly path: PathPattern;
  readonly conditions: Conditions;
}

function matchersOf({ routes = [], listeners = [] }: GatewayConfig): readonly Matcher[] {
  const all = allListeners(listeners);
  const unnamed = listenersOf(undefined, all);
  return routes.map((route, index) =>
    matcherOf(route, index, route.listeners ? listenersOf(route.listeners, all) : unnamed),
  );
}

function listenersOf(named: readonly string[] | undefined, all: readonly Listener[]): ReadonlySet<string> {
  return new Set(all.filter((listener) => attaches(named, listener)).map(({ name }) => name));
}

function matcherOf(config: RouteConfig, index: number, listeners: ReadonlySet<string>): Matcher {
  return {
    config,
    index,
    listeners,
    hosts: config.match.hosts?.map((host) => host.toLowerCase()) ?? [""],
    path: pathOf(config.match),
    conditions: compileConditions(config.match),
  };
}

/** Pairs of routes that match the same requests. */
export function* conflicts(config: GatewayConfig): Generator<ConfigProblem> {
  const taken = new Map<string, string>();
  for (const matcher of matchersOf(config)) {
    for (const signature of signatures(matcher)) {
      const other = taken.get(signature);
      if (other !== undefined) {
        yield {
          pointer: `/routes/${matcher.index}/match`,
          message: `Matches the same requests as route "${other}", so one of them would never be used. Change a match or a priority.`,
        };
        break;
      }
      taken.set(signature, matcher.config.name);
    }
  }
}

/** One text per listener, host and method. Two routes with a common text match the same requests. */
function signatures({ config, listeners, hosts, path, conditions }: Matcher): string[] {
  const { kind } = path;
  const value = path.kind === "template" ? templateShape(path.parts) : path.value;
  const methods: readonly string[] = conditions.methods ? [...conditions.methods] : [""];
  const rest = conditionKeys(conditions).toSorted().join(" ");
  return [...listeners].flatMap((listener) =>
    hosts.flatMap((host) =>
      methods.map((method) => JSON.stringify([config.priority ?? 0, listener, host, kind, value, method, rest])),
    ),
  );
}

/** Routes that can never be used, each with the route that comes before it. */
export function* shadows(config: GatewayConfig): Generator<ConfigProblem> {
  const matchers = matchersOf(config);
  const lookup = new CoverIndex(matchers);
  for (const matcher of matchers) {
    const by = matcher.hosts.map((host) => lookup.shadowOf(matcher, host));
    const first = by[0];
    if (!first || by.includes(undefined)) continue;
    yield {
      pointer: `/routes/${matcher.index}/match`,
      message: `Can never match: route "${first.config.name}" comes before it and matches all of its requests.`,
      shadowedBy: first.config.name,
    };
  }
}

/** Most regexes that one request may be compared with. At a microsecond each, they cost as much as the rest of a match. */
const HEADLESS_MAX = 50;

/** Regexes that must be compared with every path, since they have no literal start. */
export function* headlessRegexes({ routes = [] }: GatewayConfig): Generator<ConfigProblem> {
  const headless = routes.flatMap(({ match }, index) => {
    const regex = (match.grpc ? grpcPath(match.grpc) : match.path)?.regex;
    return regex !== undefined && literalHead(regex).length < 2 ? [index] : [];
  });
  if (headless.length <= HEADLESS_MAX) return;
  yield {
    pointer: `/routes/${headless[0]}/match`,
    message: `${headless.length} regexes, starting with this one, have no literal start such as /api/, so they are compared one by one.`,
  };
}

/** Finds the routes that may cover a path without comparing all pairs. */
class CoverIndex {
  readonly #byValue: ReadonlyMap<string, readonly Matcher[]>;
  /** Templates and regexes: they cannot be looked up by their values. */
  readonly #patterns: readonly Matcher[];

  constructor(matchers: readonly Matcher[]) {
    this.#byValue = Map.groupBy(
      matchers.filter(({ path }) => path.kind === "exact" || path.kind === "prefix"),
      ({ path }) => path.value,
    );
    this.#patterns = matchers
      .filter(({ path }) => path.kind === "template" || path.kind === "regex")
      .slice(0, PATTERNS_MAX);
  }

  shadowOf(matcher: Matcher, host: string): Matcher | undefined {
    const { path } = matcher;
    const literal = path.kind === "regex" ? path.head : path.value;
    for (const candidates of [...prefixesOf(literal).map((value) => this.#byValue.get(value) ?? []), this.#patterns]) {
      for (const other of candidates) {
        if (other !== matcher && pathCovers(other.path, path) && covers(other, matcher, host)) return other;
      }
    }
    return undefined;
  }
}

/** Most templates and regexes that are compared with every route, so that checks of a release stay fast. */
const PATTERNS_MAX = 500;

function prefixesOf(path: string): string[] {
  const prefixes = ["/"];
  for (let slash = path.indexOf("/", 1); slash > 0; slash = path.indexOf("/", slash + 1))
    prefixes.push(path.slice(0, slash));
  if (path.length > 1) prefixes.push(path);
  return prefixes;
}

/** Whether `other` comes before `matcher` on a host and matches all of its requests there; the paths were compared before. */
function covers(other: Matcher, matcher: Matcher, host: string): boolean {
  if (!matcher.listeners.isSubsetOf(other.listeners)) return false;
  const over = other.hosts.find((pattern) => hostMatches(pattern, host) && (pattern === "" || host !== ""));
  if (over === undefined) return false;
  if (!(matcher.conditions.methods ?? COMMON).isSubsetOf(other.conditions.methods ?? COMMON)) return false;
  if (!conditionsCover(other.conditions, matcher.conditions)) return false;
  return compareRanked(ranked(other, over), ranked(matcher, host)) < 0;
}

/** The parts of a compiled route that the order compares. */
function ranked({ config, path, conditions }: Matcher, host: string) {
  const route: Pick<CompiledRoute, "name" | "hinted" | "path" | "conditions" | "priority"> = {
    name: config.name,
    hinted: false,
    path,
    conditions,
    priority: config.priority ?? 0,
  };
  return { route: route as CompiledRoute, host };
}
