/**
 * The four kinds of path patterns: exact, template, regex, prefix. All compare the canonical path, which is also the path
 * that the upstream receives.
 */
import { setOwn } from "#base";
import type { RE2JS } from "re2js";
import type { PathMatch, RouteMatchConfig } from "../../api.ts";
import { literalHead, regexOf } from "./regex.ts";

/** A part of a template: a literal, a variable for one segment, or a variable for the rest of the path. */
export type TemplatePart =
  | { readonly literal: string }
  | { readonly variable: string; readonly rest: boolean; readonly literal?: undefined };

export type PathPattern =
  | { readonly kind: "exact" | "prefix"; readonly value: string }
  | { readonly kind: "template"; readonly value: string; readonly parts: readonly TemplatePart[] }
  | { readonly kind: "regex"; readonly value: string; readonly regex: RE2JS; readonly head: string };

/** The parts of `/users/{id}/{rest=**}`, or the problem of a template. */
export function parseTemplate(template: string): readonly TemplatePart[] | { readonly problem: string } {
  const parts: TemplatePart[] = [];
  const names = new Set<string>();
  const segments = template.slice(1).split("/");
  for (const [index, segment] of segments.entries()) {
    const variable = /^\{([A-Za-z_][A-Za-z0-9_]{0,63})(=\*\*)?\}$/.exec(segment);
    if (!variable) {
      if (/[{}]/.test(segment)) {
        return {
          problem: `"${segment}" is not a valid segment. A variable must be a whole segment: {name}, or {name=**} at the end.`,
        };
      }
      parts.push({ literal: segment });
      continue;
    }
    const name = variable[1] as string;
    const rest = variable[2] !== undefined;
    if (names.has(name)) return { problem: `The variable "${name}" occurs twice.` };
    if (rest && index !== segments.length - 1)
      return { problem: `{${name}=**} matches the rest of the path, so it must be the last segment.` };
    names.add(name);
    parts.push({ variable: name, rest });
  }
  return names.size > 0 ? parts : { problem: "The template has no variable. Use exact instead." };
}

/** The path of a checked match for gRPC. */
export function grpcPath({ type, service, method }: NonNullable<RouteMatchConfig["grpc"]>): PathMatch {
  if (type === "regex") {
    const part = (regex = "[^/]+") => (regex.includes("|") ? `(?:${regex})` : regex);
    return { regex: `/${part(service)}/${part(method)}` };
  }
  if (service === undefined) return { template: `/{service}/${method}` };
  return method === undefined ? { prefix: `/${service}` } : { exact: `/${service}/${method}` };
}

/**
 * The path pattern of a checked match. A prefix loses its trailing slash, as in the Gateway API; without a path the
 * pattern is the prefix /.
 */
export function pathOf(match: Pick<RouteMatchConfig, "path" | "grpc">): PathPattern {
  const { exact, template, regex, prefix = "/" } = (match.grpc ? grpcPath(match.grpc) : match.path) ?? {};
  if (exact !== undefined) return { kind: "exact", value: exact };
  if (template !== undefined) {
    const parts = parseTemplate(template);
    if ("problem" in parts) throw new Error(parts.problem);
    return { kind: "template", value: template, parts };
  }
  if (regex !== undefined) return { kind: "regex", value: regex, regex: regexOf(regex), head: literalHead(regex) };
  return { kind: "prefix", value: prefix.length > 1 && prefix.endsWith("/") ? prefix.slice(0, -1) : prefix };
}

export function pathMatches(pattern: PathPattern, path: string): boolean {
  if (pattern.kind === "template") return templateMatches(pattern.parts, path);
  if (pattern.kind === "regex") return path.startsWith(pattern.head) && pattern.regex.testExact(path);
  return pattern.kind === "exact" ? path === pattern.value : isWithin(path, pattern.value);
}

/** Whether a path is equal to a prefix or below it, by whole segments. */
export function isWithin(path: string, prefix: string): boolean {
  return prefix === "/" || (path.startsWith(prefix) && (path.length === prefix.length || path[prefix.length] === "/"));
}

function templateMatches(parts: readonly TemplatePart[], path: string): boolean {
  let at = 1;
  for (const part of parts) {
    if (at > path.length) return false;
    if (part.literal === undefined && part.rest) return at < path.length;
    const slash = path.indexOf("/", at);
    const end = slash < 0 ? path.length : slash;
    if (part.literal === undefined ? end === at : path.slice(at, end) !== part.literal) return false;
    at = end + 1;
  }
  return at === path.length + 1;
}

/** The variables of a matching path: those of the template, or the named groups of the regex. */
export function pathVariables(pattern: PathPattern, path: string): Readonly<Record<string, string>> {
  const variables: Record<string, string> = {};
  if (pattern.kind === "regex") {
    const matcher = pattern.regex.matcher(path);
    if (matcher.matches())
      for (const name of Object.keys(pattern.regex.namedGroups())) setOwn(variables, name, matcher.group(name) ?? "");
  } else if (pattern.kind === "template") {
    const segments = path.slice(1).split("/");
    for (const [index, part] of pattern.parts.entries()) {
      if (part.literal !== undefined) continue;
      setOwn(variables, part.variable, part.rest ? segments.slice(index).join("/") : (segments[index] as string));
    }
  }
  return variables;
}

/** Names of the variables of a pattern. */
export function variableNames(pattern: PathPattern): readonly string[] {
  if (pattern.kind === "regex") return Object.keys(pattern.regex.namedGroups());
  if (pattern.kind !== "template") return [];
  return pattern.parts.flatMap((part) => (part.literal === undefined ? [part.variable] : []));
}

const KINDS = ["exact", "template", "regex", "prefix"];

/** More specific patterns first: by kind, then by the length of their literal parts. */
export function comparePaths(a: PathPattern, b: PathPattern): number {
  if (a.kind !== b.kind) return KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind);
  if (a.kind === "template" && b.kind === "template") {
    const literals = ({ parts }: { parts: readonly TemplatePart[] }) =>
      parts.filter(({ literal }) => literal !== undefined).length;
    const open = ({ parts }: { parts: readonly TemplatePart[] }) =>
      Number(parts.some((part) => part.literal === undefined && part.rest));
    return (
      open(a) - open(b) ||
      literals(b) - literals(a) ||
      b.parts.length - a.parts.length ||
      b.value.length - a.value.length
    );
  }
  return b.value.length - a.value.length;
}

/** Whether every path that matches `b` also matches `a`, as far as the patterns show. */
export function pathCovers(a: PathPattern, b: PathPattern): boolean {
  if (a.kind === "prefix") {
    if (a.value === "/") return true;
    if (b.kind === "regex") return b.head !== a.value && isWithin(b.head, a.value);
    if (b.kind !== "template") return isWithin(b.value, a.value);
    return isWithin(b.value, a.value);
  }
  if (b.kind === "exact") return pathMatches(a, b.value);
  if (a.kind === "template") {
    if (b.kind === "template") return templateCovers(a.parts, b.parts);
    return restCovers(a.parts, b.kind === "regex" ? b.head : b.value);
  }
  return a.kind === b.kind && a.value === b.value;
}

/** Compares by segment. A variable is never empty, but the last literal may be. */
function templateCovers(a: readonly TemplatePart[], b: readonly TemplatePart[]): boolean {
  for (const [at, part] of a.entries()) {
    const other = b[at];
    if (!other || other.literal === "") return other !== undefined && part.literal === "" && at === b.length - 1;
    if (part.literal !== undefined) {
      if (part.literal !== other.literal) return false;
    } else if (part.rest) return true;
    else if (other.literal === undefined && other.rest) return false;
  }
  return a.length === b.length;
}

/** Whether a template matches all paths that start with a text whose last segment may continue. */
function restCovers(parts: readonly TemplatePart[], head: string): boolean {
  const rest = parts.length - 1;
  const last = parts[rest];
  if (!last || last.literal !== undefined || !last.rest) return false;
  const segments = head.slice(1).split("/");
  if (!segments[rest]) return false;
  return parts.slice(0, rest).every(({ literal }, at) => literal === undefined || literal === segments[at]);
}

/** A template without the names of its variables. Equal shapes match equal paths. */
export function templateShape(parts: readonly TemplatePart[]): string {
  return parts.map((part) => part.literal ?? (part.rest ? "{**}" : "{}")).join("/");
}
