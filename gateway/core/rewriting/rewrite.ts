/** Rewritten paths: the path that the upstream receives, and the location of a redirect. */
import { own } from "#base";
import type { RE2JS } from "re2js";
import type { Redirect, Rewrite } from "../../api.ts";
import type { RequestHead } from "../request/head.ts";
import { canonicalTarget, readTarget } from "../paths/path.ts";
import { pathVariables, type PathPattern } from "../paths/path-pattern.ts";
import { parseReplacement, regexOf, replaceRegex } from "../paths/regex.ts";

export interface CompiledRewrite {
  readonly prefix: string | undefined;
  /** Texts and names of variables. */
  readonly template: PathTemplate | undefined;
  readonly regex: { readonly pattern: RE2JS; readonly replacement: readonly (string | number)[] } | undefined;
}

export type PathTemplate = readonly (string | { readonly variable: string })[];

/** The parts of `/v2/{id}/x`, or the problem of a template. */
export function parsePathTemplate(text: string, names: readonly string[]): PathTemplate | { readonly problem: string } {
  const parts: (string | { variable: string })[] = [];
  for (const part of text.split(/(\{[^{}]*\})/)) {
    const variable = /^\{([^{}]*)\}$/.exec(part)?.[1];
    if (variable !== undefined && !names.includes(variable)) {
      return {
        problem: `match.path has no variable "${variable}"${names.length > 0 ? `; it has ${names.join(", ")}` : ""}.`,
      };
    }
    if (variable === undefined && /[{}]/.test(part)) return { problem: "The template has an unmatched brace." };
    if (part !== "") parts.push(variable === undefined ? part : { variable });
  }
  return parts;
}

function compilePathTemplate(text: string, names: readonly string[]): PathTemplate {
  const parts = parsePathTemplate(text, names);
  if ("problem" in parts) throw new Error(parts.problem);
  return parts;
}

export function compileRewrite(rewrite: Rewrite | undefined, names: readonly string[]): CompiledRewrite | undefined {
  if (!rewrite || (rewrite.prefix ?? rewrite.template ?? rewrite.regex) === undefined) return undefined;
  return {
    prefix: rewrite.prefix,
    template: rewrite.template === undefined ? undefined : compilePathTemplate(rewrite.template, names),
    regex: rewrite.regex && {
      pattern: regexOf(rewrite.regex.pattern),
      replacement: parseReplacement(rewrite.regex.replacement),
    },
  };
}

function fillPath(template: PathTemplate, pattern: PathPattern, path: string): string {
  const variables = pathVariables(pattern, path);
  return template.map((part) => (typeof part === "string" ? part : (own(variables, part.variable) ?? ""))).join("");
}

/** Replaces the matched part of a canonical path. */
function replacePrefix(pattern: PathPattern, path: string, prefix: string): string {
  const rest = pattern.value === "/" ? path : path.slice(pattern.value.length);
  const base = prefix.endsWith("/") ? prefix.slice(0, -1) : prefix;
  const joined = rest === "" || rest.startsWith("/") ? `${base}${rest}` : `${base}/${rest}`;
  return joined === "" ? "/" : joined;
}

/**
 * The path at the upstream. A rewritten path is checked like the path of a request: undefined when it has `..` segments or
 * is ambiguous.
 */
export function upstreamPath(
  route: { readonly path: PathPattern; readonly rewrite: CompiledRewrite | undefined },
  path: string,
): string | undefined {
  const { rewrite } = route;
  if (!rewrite) return path;
  if (rewrite.prefix !== undefined) return replacePrefix(route.path, path, rewrite.prefix);
  const made = rewrite.template
    ? fillPath(rewrite.template, route.path, path)
    : rewrite.regex
      ? replaceRegex(rewrite.regex.pattern, path, rewrite.regex.replacement)
      : path;
  // A route that allows encoded slashes forwards them encoded.
  if (path.includes("%2F")) {
    const read = readTarget(made);
    return read.ok && read.query === "" ? read.written : undefined;
  }
  const canonical = canonicalTarget(made);
  return canonical.ok && canonical.query === "" ? canonical.path : undefined;
}

export interface CompiledRedirect {
  readonly status: number;
  readonly scheme: string | undefined;
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly prefix: string | undefined;
  readonly path: PathTemplate | undefined;
}

export function compileRedirect(
  redirect: Redirect | undefined,
  names: readonly string[],
): CompiledRedirect | undefined {
  if (!redirect) return undefined;
  return {
    status: redirect.status ?? 302,
    scheme: redirect.scheme,
    host: redirect.host,
    port: redirect.port,
    prefix: redirect.prefix,
    path: redirect.path === undefined ? undefined : compilePathTemplate(redirect.path, names),
  };
}

const PORTS: Readonly<Record<string, number>> = { http: 80, https: 443 };

/**
 * The location of a redirect; undefined when its path would not be valid. With another scheme, the port is that scheme's
 * default unless the redirect sets one, since a port for http does not serve https.
 * @see Gateway API, HTTPRequestRedirectFilter
 */
export function redirectLocation(
  redirect: CompiledRedirect,
  pattern: PathPattern,
  head: RequestHead,
): string | undefined {
  const scheme = redirect.scheme ?? head.scheme;
  const host = redirect.host ?? head.host;
  const came = /:(\d+)$/.exec(head.authority.replace(/^\[[^\]]*\]/, ""))?.[1];
  const kept = redirect.scheme === undefined && came !== undefined ? Number(came) : own(PORTS, scheme);
  const port = redirect.port ?? kept;
  let { path } = head;
  if (redirect.prefix !== undefined) path = replacePrefix(pattern, path, redirect.prefix);
  else if (redirect.path) path = fillPath(redirect.path, pattern, path);
  const canonical = canonicalTarget(path);
  if (!canonical.ok || canonical.query !== "") return undefined;
  return `${scheme}://${host}${port === own(PORTS, scheme) ? "" : `:${port}`}${canonical.path}${head.query}`;
}
