/** What is wrong with one route beyond its shape, and where. */
import type { TSchema } from "typebox";
import { pointerPart } from "#base/shape";
import type { AclEntry, ConfigProblem, HeaderEdits, NamedMatch, RouteConfig } from "../../api.ts";
import { parseCidr } from "../request/cidr-set.ts";
import { originProblem } from "../rewriting/cors.ts";
import type { FilterPlace, Filters } from "../request/filter.ts";
import { parseAuthority } from "../request/head.ts";
import { isAnswerOwn, isGatewayOwn } from "../decision/headers.ts";
import { canonicalTarget } from "../paths/path.ts";
import { parseTemplate, pathOf, variableNames } from "../paths/path-pattern.ts";
import { compileRegex, parseReplacement } from "../paths/regex.ts";
import { parsePathTemplate } from "../rewriting/rewrite.ts";
import { parseText } from "../rewriting/template.ts";

/** What a route may name, and what the names stand for. */
export interface RouteContext {
  readonly providers: ReadonlySet<string>;
  readonly clusters: ReadonlySet<string>;
  readonly listeners: ReadonlySet<string>;
  readonly consumers: ReadonlySet<string>;
  /** Headers that claims become, in lower case. */
  readonly ownHeaders: ReadonlySet<string>;
  readonly filters: Filters;
  /** What a value lacks of a schema. */
  shape(schema: TSchema, value: unknown, pointer: string): readonly ConfigProblem[];
}

type Problems = Generator<ConfigProblem>;

export function* routeProblems(route: RouteConfig, pointer: string, context: RouteContext): Problems {
  if (route.name === "none") {
    yield { pointer: `${pointer}/name`, message: '"none" is what metrics call requests without a route.' };
  }
  const before: ConfigProblem[] = [...matchProblems(route, pointer)];
  yield* before;
  const { listeners = [] } = route;
  for (const [at, name] of listeners.entries()) {
    if (!context.listeners.has(name))
      yield { pointer: `${pointer}/listeners/${at}`, message: `No listener "${name}".` };
    if (listeners.indexOf(name) !== at)
      yield { pointer: `${pointer}/listeners/${at}`, message: `"${name}" is there twice.` };
  }
  yield* targetProblems(route, pointer, context);
  // Variables come from the path; with a broken one each of them would be said to be missing.
  if (before.length === 0) yield* changeProblems(route, pointer, context);
  yield* policyProblems(route, pointer, context);
}

function* matchProblems({ match }: RouteConfig, pointer: string): Problems {
  const { path, grpc, hosts = [], headers = [], query = [], cookies = [], sourceCidrs = [] } = match;
  if (path) {
    const given = Object.keys(path);
    if (given.length !== 1) {
      yield {
        pointer: `${pointer}/match/path`,
        message: "Give either prefix or exact, or template, or regex; one of them.",
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
    if (path) yield { pointer: `${pointer}/match/path`, message: "grpc says the path; give one of the two." };
    if (match.methods) yield { pointer: `${pointer}/match/methods`, message: "gRPC is always POST." };
  }
  yield* hostProblems(hosts, `${pointer}/match/hosts`);
  yield* conditionProblems(headers, `${pointer}/match/headers`, (name) => name.toLowerCase());
  yield* conditionProblems(query, `${pointer}/match/query`);
  yield* conditionProblems(cookies, `${pointer}/match/cookies`);
  for (const [at, cidr] of sourceCidrs.entries()) {
    if (!parseCidr(cidr)) yield { pointer: `${pointer}/match/sourceCidrs/${at}`, message: `"${cidr}" is no network.` };
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
        message: `"${value}" is no ${part}'s name; with type: regex it may be one.`,
      };
    }
  }
}

function* templateProblems(template: string, pointer: string): Problems {
  const parts = parseTemplate(template);
  if ("problem" in parts) yield { pointer, message: parts.problem };
  // The variables' names stand for themselves; all around them must be canonical.
  else yield* pathProblems(template.replaceAll(/\{[^{}/]*\}/g, "x"), pointer);
}

function* regexProblems(pattern: string, pointer: string): Problems {
  const { problem } = compileRegex(pattern);
  if (problem !== undefined) yield { pointer, message: problem };
}

function* replacementProblems(
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
  const has = groups === 0 ? "no group" : groups === 1 ? "one group, \\1" : `${groups} groups, \\1 to \\${groups}`;
  yield { pointer: `${pointer}/replacement`, message: `There is no \\${asked}: the pattern has ${has}.` };
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
        message: `"${condition.name}" is there twice; one regex can ask for both.`,
      };
    }
  }
}

export function* hostProblems(hosts: readonly string[], pointer: string): Problems {
  const seen = new Set<string>();
  for (const [at, host] of hosts.entries()) {
    if (seen.has(host.toLowerCase())) yield { pointer: `${pointer}/${at}`, message: `"${host}" is there twice.` };
    seen.add(host.toLowerCase());
    const bare = host.startsWith("*.") ? host.slice(2) : host;
    if (!isHost(bare)) {
      yield {
        pointer: `${pointer}/${at}`,
        message: `"${host}" is no host: give a name such as a.example or *.example, without scheme, port or path.`,
      };
    }
  }
}

function isHost(text: string): boolean {
  const parsed = parseAuthority(text);
  return parsed !== undefined && parsed.host === text.toLowerCase() && parsed.authority === parsed.host;
}

function* pathProblems(path: string, pointer: string): Problems {
  const canonical = canonicalTarget(path);
  if (!canonical.ok) yield { pointer, message: canonical.reason };
  else if (canonical.query !== "") yield { pointer, message: "A path has no query." };
  else if (canonical.path !== path) {
    yield { pointer, message: `Requests are matched by their canonical path; write "${canonical.path}".` };
  }
}

/** Where it goes: one place, and only to clusters that there are. */
function* targetProblems(route: RouteConfig, pointer: string, { clusters }: RouteContext): Problems {
  const { service, cluster, split, redirect, respond } = route;
  const given = [service, cluster, split, redirect, respond].filter((target) => target !== undefined).length;
  if (given !== 1) {
    const message =
      split || redirect || respond
        ? "Give one of service, cluster, split, redirect and respond."
        : "Give either service or cluster.";
    yield { pointer, message };
  }
  const backends = [
    { backend: { service, cluster }, at: pointer, needed: false },
    ...(split ?? []).map((backend, at) => ({ backend, at: `${pointer}/split/${at}`, needed: true })),
    ...(route.mirror ?? []).map((backend, at) => ({ backend, at: `${pointer}/mirror/${at}`, needed: true })),
  ];
  for (const { backend, at, needed } of backends) {
    if (needed && (backend.service === undefined) === (backend.cluster === undefined)) {
      yield { pointer: at, message: "Give either service or cluster." };
    }
    if (backend.cluster !== undefined && !clusters.has(backend.cluster)) {
      yield { pointer: `${at}/cluster`, message: `No cluster "${backend.cluster}" in clusters.` };
    }
  }
  if (split && !split.some(({ when, weight = 1 }) => !when && weight > 0)) {
    yield {
      pointer: `${pointer}/split`,
      message: "At least one part has a weight and no when, for all that no other takes.",
    };
  }
  const forwards = redirect === undefined && respond === undefined;
  for (const name of [
    "rewrite",
    "mirror",
    "sticky",
    "compress",
    "cache",
    "requestHeaders",
    "retry",
    "concurrency",
  ] as const) {
    if (route[name] !== undefined && !forwards) {
      yield {
        pointer: `${pointer}/${name}`,
        message: "The gateway answers this route itself; nothing goes to a service.",
      };
    }
  }
  const { deadlineHeader, timeouts } = route;
  if (deadlineHeader !== undefined) {
    const at = `${pointer}/deadlineHeader`;
    if (timeouts?.totalMs === undefined) yield { pointer: at, message: "Without timeouts.totalMs no time runs out." };
    if (isGatewayOwn(deadlineHeader.toLowerCase())) {
      yield { pointer: at, message: `"${deadlineHeader}" is not the route's to set.` };
    }
  }
  if (route.splitBy && (!split || Object.keys(route.splitBy).length !== 1)) {
    yield { pointer: `${pointer}/splitBy`, message: "Give one of header, cookie and by, to a route with a split." };
  }
}

function* changeProblems(route: RouteConfig, pointer: string, context: RouteContext): Problems {
  const pattern = pathOf(route.match);
  const names = variableNames(pattern);
  const { rewrite, redirect } = route;
  if (rewrite) {
    const ways = [rewrite.prefix, rewrite.template, rewrite.regex].filter((way) => way !== undefined).length;
    if (ways > 1 || (ways === 0 && rewrite.host === undefined)) {
      yield { pointer: `${pointer}/rewrite`, message: "Give host, and of prefix, template and regex one." };
    }
    if (rewrite.prefix !== undefined) yield* prefixProblems(rewrite.prefix, `${pointer}/rewrite/prefix`);
    if (rewrite.template !== undefined) yield* fillProblems(rewrite.template, `${pointer}/rewrite/template`);
    if (rewrite.regex) yield* replacementProblems(rewrite.regex, `${pointer}/rewrite/regex`);
    if (rewrite.host !== undefined && !isHost(rewrite.host)) {
      yield { pointer: `${pointer}/rewrite/host`, message: `"${rewrite.host}" is no host.` };
    }
  }
  if (redirect) {
    const { status: _status, ...where } = redirect;
    if (Object.keys(where).length === 0) {
      yield { pointer: `${pointer}/redirect`, message: "It would lead to where it came from; change something." };
    }
    if (redirect.prefix !== undefined && redirect.path !== undefined) {
      yield { pointer: `${pointer}/redirect`, message: "Give either prefix or path." };
    }
    if (redirect.prefix !== undefined) yield* prefixProblems(redirect.prefix, `${pointer}/redirect/prefix`);
    if (redirect.path !== undefined) yield* fillProblems(redirect.path, `${pointer}/redirect/path`);
    if (redirect.host !== undefined && !isHost(redirect.host)) {
      yield { pointer: `${pointer}/redirect/host`, message: `"${redirect.host}" is no host.` };
    }
  }
  const edits = [
    [route.requestHeaders, `${pointer}/requestHeaders`, "request"],
    [route.responseHeaders, `${pointer}/responseHeaders`, "response"],
    ...(route.split ?? []).flatMap(
      (one, at) =>
        [
          [one.requestHeaders, `${pointer}/split/${at}/requestHeaders`, "request"],
          [one.responseHeaders, `${pointer}/split/${at}/responseHeaders`, "response"],
        ] as const,
    ),
  ] as const;
  for (const [edit, at, way] of edits) yield* editProblems(edit, at, way, names, context);

  function* prefixProblems(prefix: string, at: string): Problems {
    if (pattern.kind === "template" || pattern.kind === "regex") {
      yield {
        pointer: at,
        message: `A ${pattern.kind} matches no prefix that could be replaced; give the whole path.`,
      };
    }
    yield* pathProblems(prefix, at);
  }
  function* fillProblems(text: string, at: string): Problems {
    const parts = parsePathTemplate(text, names);
    if ("problem" in parts) yield { pointer: at, message: parts.problem };
    else yield* pathProblems(text.replaceAll(/\{[^{}]*\}/g, "x"), at);
  }
}

function* editProblems(
  edits: HeaderEdits | undefined,
  pointer: string,
  way: "request" | "response",
  names: readonly string[],
  { ownHeaders }: RouteContext,
): Problems {
  if (!edits) return;
  const own = (name: string) => (way === "request" ? isGatewayOwn(name) || ownHeaders.has(name) : isAnswerOwn(name));
  const problem = (name: string) =>
    `The header "${name}" is the gateway's own or the connection's; no route changes it.`;
  for (const verb of ["set", "add"] as const) {
    for (const [name, text] of Object.entries(edits[verb] ?? {})) {
      const at = `${pointer}/${verb}/${pointerPart(name)}`;
      if (own(name.toLowerCase())) yield { pointer: at, message: problem(name) };
      const parts = parseText(text, names);
      if ("problem" in parts) yield { pointer: at, message: parts.problem };
    }
  }
  for (const [at, name] of (edits.remove ?? []).entries()) {
    if (own(name.toLowerCase())) yield { pointer: `${pointer}/remove/${at}`, message: problem(name) };
  }
}

/** Headers that a claim must not become: they frame or route the request. */
const NOT_FOR_CLAIMS = new Set(["authorization"]);
/** The prefixes that `isGatewayOwn` knows and that claims may have all the same, since the gateway is who sets them. */
const CLAIM_PREFIXES = ["x-jwt-", "x-consumer-", "x-posthouse-"];

function* policyProblems(route: RouteConfig, pointer: string, context: RouteContext): Problems {
  const { jwt, acl, cors } = route;
  const identifies = identifiesCallers(route, context);
  if (jwt && !context.providers.has(jwt.provider)) {
    yield { pointer: `${pointer}/jwt/provider`, message: `No provider "${jwt.provider}" in jwt.` };
  }
  if (acl && !jwt) {
    yield { pointer: `${pointer}/acl`, message: "Access rules read the claims of a token; give the route a jwt." };
  }
  for (const name of ["rateLimit", "quota", "concurrency"] as const) {
    const by = route[name]?.by;
    if (typeof by === "object" && "claim" in by && !jwt) {
      yield { pointer: `${pointer}/${name}/by`, message: "A limit by claim needs a token; give the route a jwt." };
    }
    if (by === "consumer" && !identifies) {
      yield {
        pointer: `${pointer}/${name}/by`,
        message: "A limit by consumer needs one; give the route a jwt or key-auth.",
      };
    }
  }
  for (const [claim, header] of Object.entries(jwt?.forwardClaims ?? {})) {
    const name = header.toLowerCase();
    const own = isGatewayOwn(name) && !CLAIM_PREFIXES.some((prefix) => name.startsWith(prefix));
    if (own || NOT_FOR_CLAIMS.has(name)) {
      yield {
        pointer: `${pointer}/jwt/forwardClaims/${pointerPart(claim)}`,
        message: `A claim cannot become the header "${header}".`,
      };
    }
  }
  for (const [at, entry] of (acl?.allow ?? []).entries()) yield* entryProblems(entry, `${pointer}/acl/allow/${at}`);
  for (const [at, origin] of (cors?.origins ?? []).entries()) {
    const problem = originProblem(origin);
    if (problem !== undefined) yield { pointer: `${pointer}/cors/origins/${at}`, message: problem };
  }
  if (cors?.credentials && cors.exposeHeaders?.includes("*")) {
    yield {
      pointer: `${pointer}/cors/exposeHeaders`,
      message: "With credentials browsers take * for the name of a header; name those that pages may read.",
    };
  }
  if (cors?.credentials && cors.origins.includes("*")) {
    yield {
      pointer: `${pointer}/cors/credentials`,
      message: "With the origin * any page could use its visitor's credentials; name the origins.",
    };
  }
  for (const [at, { name, config = {} }] of (route.filters ?? []).entries()) {
    yield* filterProblems(name, config, `${pointer}/filters/${at}`, { ...context, identifies });
  }
  yield* splitProblems(route, pointer, context);
}

/** Whether a route finds out which consumer asks, by a token or by a filter such as key-auth. */
function identifiesCallers({ jwt, filters }: RouteConfig, context: RouteContext): boolean {
  return (
    jwt !== undefined || (filters?.some(({ name }) => context.filters.get(name)?.phase === "authenticate") ?? false)
  );
}

/** Parts that nobody could ever be sent to, since nobody is who they are for. */
function* splitProblems(route: RouteConfig, pointer: string, context: RouteContext): Problems {
  const identifies = identifiesCallers(route, context);
  const wayOut = "give the route a jwt or key-auth.";
  for (const [index, { when }] of (route.split ?? []).entries()) {
    const at = `${pointer}/split/${index}/when`;
    for (const name of ["consumers", "groups"] as const) {
      if (when?.[name] && !identifies)
        yield { pointer: `${at}/${name}`, message: `Nobody is a consumer here; ${wayOut}` };
    }
    for (const [which, name] of (when?.consumers ?? []).entries()) {
      if (!context.consumers.has(name))
        yield { pointer: `${at}/consumers/${which}`, message: `No consumer "${name}" in consumers.` };
    }
  }
  if (route.splitBy?.by === "consumer" && !identifies)
    yield { pointer: `${pointer}/splitBy/by`, message: `Nobody is a consumer here; ${wayOut}` };
}

function* filterProblems(
  name: string,
  config: object,
  pointer: string,
  context: RouteContext & Pick<FilterPlace, "identifies">,
): Problems {
  const filter = context.filters.get(name);
  if (!filter) {
    const known = [...context.filters.keys()].join(", ");
    yield {
      pointer: `${pointer}/name`,
      message: `No filter "${name}"; there are ${known}. Others come by the setting gatewayFilters.`,
    };
    return;
  }
  const problems = context.shape(filter.schema, config, `${pointer}/config`);
  yield* problems;
  if (problems.length > 0) return;
  for (const problem of filter.problems?.(config as never, context) ?? [])
    yield { pointer: `${pointer}/config${problem.pointer}`, message: problem.message };
  try {
    filter.build(config as never);
  } catch (error) {
    yield { pointer: `${pointer}/config`, message: error instanceof Error ? error.message : String(error) };
  }
}

function* entryProblems(entry: AclEntry, pointer: string): Problems {
  const single = entry.claim !== undefined || entry.contains !== undefined || entry.anyOf !== undefined;
  if (single === (entry.all !== undefined)) yield { pointer, message: "Give one rule, or all with a list of rules." };
  const rules = entry.all
    ? entry.all.map((rule, at) => ({ rule, at: `${pointer}/all/${at}` }))
    : [{ rule: entry, at: pointer }];
  for (const { rule, at } of single && entry.all ? [] : rules) {
    if (rule.claim === undefined) yield { pointer: at, message: "A rule names a claim." };
    else if ((rule.contains === undefined) === (rule.anyOf === undefined)) {
      yield { pointer: at, message: "Give either contains or anyOf." };
    }
  }
}
