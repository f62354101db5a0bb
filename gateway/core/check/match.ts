/** Problems of the conditions of a route. */
import type { NamedMatch, RouteConfig } from "../../api.ts";
import { parseCidr } from "../request/cidr-set.ts";
import { parseAuthority } from "../request/head.ts";
import { canonicalTarget } from "../paths/path.ts";
import { parseTemplate } from "../paths/path-pattern.ts";
import { compileRegex, parseReplacement } from "../paths/regex.ts";
import type { Problems } from "./problems.ts";

export function* matchProblems({ match }: RouteConfig, pointer: string): Problems {
  const { path, grpc, hosts = [], headers = [], query = [], cookies = [], sourceCidrs = [] } = match;
  if (path) {
    const given = Object.keys(path);
    if (given.length !== 1) {
      yield {
        pointer: `${pointer}/match/path`,
        message: "Give exactly one of prefix, exact, template and regex.",
      };
    }
    for (const kind of ["prefix", "exact"] as const) {
      if (path[kind] !== undefined) yield* pathProblems(path[kind], `${pointer}/match/path/${kind}`);
    }
    if (path.template !== undefined) yield* templateProblems(path.template, `${pointer}/match/path/template`);
    if (path.regex !== undefined) yield* regexProblems(path.regex, `${pointer}/match/path/regex`);
  }
  if (grpc) {
    yield* grpcProblems(grpc, `${pointer}/match/grpc`);
    if (path)
      yield { pointer: `${pointer}/match/path`, message: "grpc already defines the path. Give only one of the two." };
    if (match.methods) yield { pointer: `${pointer}/match/methods`, message: "gRPC always uses POST. Remove methods." };
  }
  yield* hostProblems(hosts, `${pointer}/match/hosts`);
  yield* conditionProblems(headers, `${pointer}/match/headers`, (name) => name.toLowerCase());
  yield* conditionProblems(query, `${pointer}/match/query`);
  yield* conditionProblems(cookies, `${pointer}/match/cookies`);
  for (const [at, cidr] of sourceCidrs.entries()) {
    if (!parseCidr(cidr))
      yield {
        pointer: `${pointer}/match/sourceCidrs/${at}`,
        message: `"${cidr}" is not a network. Give one such as 10.0.0.0/8, or an address.`,
      };
  }
}

function* grpcProblems(grpc: NonNullable<RouteConfig["match"]["grpc"]>, pointer: string): Problems {
  if (grpc.service === undefined && grpc.method === undefined) {
    yield { pointer, message: "Give service or method, or both." };
  }
  for (const [part, name] of [
    ["service", /^[A-Za-z_][A-Za-z0-9_.]{0,254}$/],
    ["method", /^[A-Za-z_][A-Za-z0-9_]{0,254}$/],
  ] as const) {
    const value = grpc[part];
    if (value === undefined) continue;
    if (grpc.type === "regex") yield* regexProblems(value, `${pointer}/${part}`);
    else if (!name.test(value)) {
      yield {
        pointer: `${pointer}/${part}`,
        message: `"${value}" is not a valid ${part} name. For a pattern, use type: regex.`,
      };
    }
  }
}

function* templateProblems(template: string, pointer: string): Problems {
  const parts = parseTemplate(template);
  if ("problem" in parts) yield { pointer, message: parts.problem };
  // The names of variables need no check; the rest of the template must be canonical.
  else yield* pathProblems(template.replaceAll(/\{[^{}/]*\}/g, "x"), pointer);
}

function* conditionProblems(
  list: readonly NamedMatch[],
  pointer: string,
  spell: (name: string) => string = (name) => name,
): Problems {
  for (const [at, condition] of list.entries()) {
    const ways = (["exact", "prefix", "regex", "present"] as const).filter((way) => condition[way] !== undefined);
    if (ways.length !== 1) {
      yield { pointer: `${pointer}/${at}`, message: "Give one of exact, prefix, regex and present." };
    }
    if (condition.regex !== undefined) yield* regexProblems(condition.regex, `${pointer}/${at}/regex`);
    if (list.findIndex(({ name }) => spell(name) === spell(condition.name)) !== at) {
      yield {
        pointer: `${pointer}/${at}/name`,
        message: `"${condition.name}" is listed twice. Combine both conditions in one regex.`,
      };
    }
  }
}

export function* hostProblems(hosts: readonly string[], pointer: string): Problems {
  const seen = new Set<string>();
  for (const [at, host] of hosts.entries()) {
    if (seen.has(host.toLowerCase())) yield { pointer: `${pointer}/${at}`, message: `"${host}" is listed twice.` };
    seen.add(host.toLowerCase());
    const bare = host.startsWith("*.") ? host.slice(2) : host;
    if (!isHost(bare)) {
      yield {
        pointer: `${pointer}/${at}`,
        message: `"${host}" is not a valid host. Give a name such as a.example or *.example, without scheme, port or path.`,
      };
    }
  }
}

export function isHost(text: string): boolean {
  const parsed = parseAuthority(text);
  return parsed !== undefined && parsed.host === text.toLowerCase() && parsed.authority === parsed.host;
}

export function* pathProblems(path: string, pointer: string): Problems {
  const canonical = canonicalTarget(path);
  if (!canonical.ok) yield { pointer, message: canonical.reason };
  else if (canonical.query !== "")
    yield { pointer, message: "The path contains a query. Remove it, or use match.query." };
  else if (canonical.path !== path) {
    yield { pointer, message: `"${path}" is not canonical. Write "${canonical.path}".` };
  }
}

function* regexProblems(pattern: string, pointer: string): Problems {
  const { problem } = compileRegex(pattern);
  if (problem !== undefined) yield { pointer, message: problem };
}

export function* replacementProblems(
  { pattern, replacement }: NonNullable<NonNullable<RouteConfig["rewrite"]>["regex"]>,
  pointer: string,
): Problems {
  const { regex, problem } = compileRegex(pattern);
  if (!regex) {
    yield { pointer: `${pointer}/pattern`, message: problem };
    return;
  }
  const groups = regex.groupCount();
  const asked = Math.max(0, ...parseReplacement(replacement).filter((part) => typeof part === "number"));
  if (asked <= groups) return;
  const has = groups === 0 ? "no groups" : groups === 1 ? "one group, \\1" : `${groups} groups, \\1 to \\${groups}`;
  yield { pointer: `${pointer}/replacement`, message: `\\${asked} does not exist: the pattern has ${has}.` };
}
