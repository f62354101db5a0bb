/** The conditions of a route besides host and path: method, headers, query, cookies, scheme and the client's network. */
import type { RE2JS } from "re2js";
import { COMMON_METHODS, type NamedMatch, type RouteMatchConfig } from "../../api.ts";
import type { RequestHead } from "../request/head.ts";
import { regexOf } from "../paths/regex.ts";
import { CidrSet } from "../request/cidr-set.ts";

export interface ValueCondition {
  readonly name: string;
  readonly kind: "exact" | "prefix" | "regex" | "present" | "absent";
  readonly value: string;
  readonly regex: RE2JS | undefined;
}

export interface Conditions {
  /** undefined: the common methods. */
  readonly methods: ReadonlySet<string> | undefined;
  readonly headers: readonly ValueCondition[];
  readonly query: readonly ValueCondition[];
  readonly cookies: readonly ValueCondition[];
  readonly source: CidrSet | undefined;
  readonly scheme: "http" | "https" | undefined;
}

/** The first condition that a request does not meet; undefined when it meets all. */
export type Mismatch = "scheme" | "source" | "header" | "cookie" | "query" | "method";

/** The parts of a request's head that conditions look at. */
export type MatchHead = Pick<
  RequestHead,
  "host" | "path" | "method" | "query" | "header" | "client" | "listener" | "scheme"
>;

/** The methods of a route that lists none. */
export const COMMON: ReadonlySet<string> = new Set(COMMON_METHODS);

const NO_CONDITIONS: readonly ValueCondition[] = [];

/** Not gRPC-Web, whose type only starts like that of gRPC. Compiled once, when the first route needs it. */
let grpcType: ValueCondition | undefined;

export function compileConditions(match: RouteMatchConfig): Conditions {
  if (match.grpc) grpcType ??= compileValue({ name: "content-type", regex: "application/grpc([+;].*)?" });
  const headers = (match.headers ?? []).map((one) => compileValue({ ...one, name: one.name.toLowerCase() }));
  return {
    methods: match.grpc ? new Set(["POST"]) : match.methods && new Set(match.methods),
    headers: match.grpc && grpcType ? [grpcType, ...headers] : headers,
    query: match.query?.map(compileValue) ?? NO_CONDITIONS,
    cookies: match.cookies?.map(compileValue) ?? NO_CONDITIONS,
    source: match.sourceCidrs && new CidrSet(match.sourceCidrs),
    scheme: match.scheme,
  };
}

function compileValue({ name, exact, prefix, regex, present }: NamedMatch): ValueCondition {
  if (exact !== undefined) return { name, kind: "exact", value: exact, regex: undefined };
  if (prefix !== undefined) return { name, kind: "prefix", value: prefix, regex: undefined };
  if (regex !== undefined) return { name, kind: "regex", value: regex, regex: regexOf(regex) };
  return { name, kind: present === false ? "absent" : "present", value: "", regex: undefined };
}

/** Compares the method last, so that `method` means that all other conditions are met. */
export function mismatchOf(conditions: Conditions, head: MatchHead): Mismatch | undefined {
  const { methods, headers, query, cookies, source, scheme } = conditions;
  if (scheme !== undefined && scheme !== head.scheme) return "scheme";
  if (source && !source.has(head.client)) return "source";
  for (const condition of headers) if (!holds(condition, head.header(condition.name))) return "header";
  if (cookies.length > 0) {
    const values = head.header("cookie");
    for (const condition of cookies)
      if (!holds(condition, listOf(cookieValue(values, condition.name)))) return "cookie";
  }
  if (query.length > 0) {
    // Read as a form: + is a space, and the first of several values counts.
    const parameters = parametersOf(head.query);
    for (const condition of query) if (!holds(condition, listOf(parameters.get(condition.name)))) return "query";
  }
  return (methods ?? COMMON).has(head.method) ? undefined : "method";
}

/** The last query is cached, since several routes look at the query of one request. */
let last: { readonly query: string; readonly parameters: URLSearchParams } | undefined;
function parametersOf(query: string): URLSearchParams {
  if (last?.query !== query) last = { query, parameters: new URLSearchParams(query) };
  return last.parameters;
}

const NONE: readonly string[] = [];
function listOf(value: string | undefined | null): readonly string[] {
  return value === undefined || value === null ? NONE : [value];
}

function holds({ kind, value, regex }: ValueCondition, values: readonly string[]): boolean {
  if (kind === "absent") return values.length === 0;
  if (kind === "present") return values.length > 0;
  if (kind === "exact") return values.includes(value);
  if (kind === "prefix") return values.some((one) => one.startsWith(value));
  return values.some((one) => (regex as RE2JS).testExact(one));
}

/** The first cookie of a name among the Cookie headers. */
export function cookieValue(headers: readonly string[], name: string): string | undefined {
  for (const header of headers) {
    for (const pair of header.split(";")) {
      const equals = pair.indexOf("=");
      if (equals > 0 && pair.slice(0, equals).trim() === name) {
        const value = pair.slice(equals + 1).trim();
        return value.startsWith('"') && value.endsWith('"') && value.length > 1 ? value.slice(1, -1) : value;
      }
    }
  }
  return undefined;
}

/** Names the condition, and never a value that the client sent. */
export function conditionText({ name, kind, value }: ValueCondition): string {
  if (kind === "present" || kind === "absent") return `${name} ${kind}`;
  return `${name} ${kind === "exact" ? "=" : kind === "prefix" ? "starts with" : "matches"} ${value}`;
}

/** One text per condition; equal texts mean equal conditions. */
export function conditionKeys({ headers, query, cookies, source, scheme }: Conditions): readonly string[] {
  const keys = (what: string, list: readonly ValueCondition[]) =>
    list.map((one) => JSON.stringify([what, one.name, one.kind, one.value]));
  return [
    ...keys("h", headers),
    ...keys("q", query),
    ...keys("c", cookies),
    ...(source ? [`s ${source.text}`] : []),
    ...(scheme === undefined ? [] : [`p ${scheme}`]),
  ];
}

/** Whether each request that meets `b` also meets `a`, as far as can be determined. The method is not compared. */
export function conditionsCover(a: Conditions, b: Conditions): boolean {
  const all = (what: "headers" | "query" | "cookies") =>
    a[what].every((one) => b[what].some((other) => valueCovers(one, other)));
  return (
    (a.scheme === undefined || a.scheme === b.scheme) &&
    (!a.source || (b.source !== undefined && a.source.covers(b.source))) &&
    all("headers") &&
    all("query") &&
    all("cookies")
  );
}

function valueCovers(a: ValueCondition, b: ValueCondition): boolean {
  if (a.name !== b.name) return false;
  if (a.kind === b.kind && a.value === b.value) return true;
  if (a.kind === "absent" || b.kind === "absent") return false;
  if (a.kind === "present") return true;
  if (b.kind === "exact") return holds(a, [b.value]);
  return a.kind === "prefix" && b.kind === "prefix" && b.value.startsWith(a.value);
}
