/** A route of the gateway's config, in the parts that its list and its page show. Pure. */
import type { RouteConfig, RouteView } from "#gateway/api";

export function configOf(view: RouteView): RouteConfig {
  return view.config as unknown as RouteConfig;
}

export interface RoutePath {
  readonly kind: "prefix" | "exact" | "template" | "regex" | "grpc" | "any";
  readonly value: string;
}

export function pathOfRoute({ match }: RouteConfig): RoutePath {
  const { path, grpc } = match;
  if (grpc) return { kind: "grpc", value: `/${grpc.service ?? "*"}/${grpc.method ?? "*"}` };
  for (const kind of ["exact", "template", "regex", "prefix"] as const) {
    const value = path?.[kind];
    if (value !== undefined) return { kind, value };
  }
  return { kind: "any", value: "/" };
}

/** A pattern as one reads it: a prefix ends with a star. */
export function pathText({ kind, value }: RoutePath): string {
  if (kind === "regex") return `~ ${value}`;
  if (kind === "prefix" || kind === "any") return value.endsWith("/") ? `${value}*` : `${value}/*`;
  return value;
}

interface Condition {
  readonly name: string;
  readonly exact?: string;
  readonly prefix?: string;
  readonly regex?: string;
  readonly present?: boolean;
}

function conditionText({ name, exact, prefix, regex, present }: Condition): string {
  if (exact !== undefined) return `${name} = ${exact}`;
  if (prefix !== undefined) return `${name} = ${prefix}…`;
  if (regex !== undefined) return `${name} ~ ${regex}`;
  return present === false ? `!${name}` : name;
}

/** The conditions besides host, path and method, by kind. */
export function conditionsOf({ match }: RouteConfig): readonly (readonly [ConditionKind, string])[] {
  return [
    ...(match.scheme === undefined ? [] : [["scheme", match.scheme] as const]),
    ...(match.headers ?? []).map((one) => ["header", conditionText(one)] as const),
    ...(match.query ?? []).map((one) => ["query", conditionText(one)] as const),
    ...(match.cookies ?? []).map((one) => ["cookie", conditionText(one)] as const),
    ...(match.sourceCidrs ?? []).map((cidr) => ["source", cidr] as const),
  ];
}
export type ConditionKind = "scheme" | "header" | "query" | "cookie" | "source";

/** Policies and changes of a route, as short marks. Names of filters are their own marks. */
export function marksOf(config: RouteConfig): readonly string[] {
  const { jwt, acl, rateLimit, quota, concurrency, filters = [] } = config;
  const marks: readonly (readonly [unknown, string])[] = [
    [jwt, "jwt"],
    [acl, "acl"],
    [rateLimit ?? quota ?? concurrency, "limit"],
    [config.rewrite, "rewrite"],
    [config.split, "split"],
    [config.mirror, "mirror"],
    [config.sticky, "sticky"],
    [config.cache, "cache"],
    [config.cors, "cors"],
  ];
  return [...marks.flatMap(([set, mark]) => (set === undefined ? [] : [mark])), ...filters.map(({ name }) => name)];
}

/** The answer of a route whose requests no service receives, as the list shows it. */
export function ownAnswer({ redirect, respond }: RouteConfig): string | undefined {
  if (respond) return String(respond.status);
  if (!redirect) return undefined;
  const { status = 302, host, path, prefix, scheme, port } = redirect;
  const authority = host === undefined ? "" : `//${host}${port === undefined ? "" : `:${port}`}`;
  return `${status} → ${scheme === undefined ? "" : `${scheme}:`}${authority}${path ?? prefix ?? ""}`;
}

/** The text of a route as one reads it for a search. */
export function searchText(view: RouteView): string {
  const config = configOf(view);
  const { hosts = [], methods = [] } = config.match;
  const services = view.targets.map(({ service, cluster }) => service ?? cluster);
  return [view.name, ...hosts, pathOfRoute(config).value, ...methods, ...services, ...marksOf(config)]
    .join(" ")
    .toLowerCase();
}

/** The lines of a route in the text of its config, without their common indentation. */
export function linesOf(text: string, { line, lastLine }: Pick<RouteView, "line" | "lastLine">): string | undefined {
  if (line === undefined || lastLine === undefined) return undefined;
  const lines = text.split("\n").slice(line - 1, lastLine);
  const indents = lines.filter((one) => one.trim() !== "").map((one) => one.length - one.trimStart().length);
  const least = Math.min(...indents);
  return lines.map((one) => one.slice(Math.min(least, one.length - one.trimStart().length))).join("\n");
}
