/**
 * Says what is wrong with a gateway config, and where, before anyone lives by it: its shape, and what no shape can say:
 * names that must exist or be unique, routes that no request could tell apart, keys fetched in the clear.
 */
import { Value } from "typebox/value";
import ipaddr from "ipaddr.js";
import { GatewayConfig, type AclEntry, type ConfigProblem, type RouteConfig } from "../api.ts";
import { canonicalTarget } from "./path.ts";
import { parseAuthority } from "./head.ts";
import { pathOf } from "./table.ts";

/** Problems told at once. More help nobody. */
const PROBLEMS_MAX = 50;

export type CheckedConfig =
  | { readonly config: GatewayConfig; readonly problems: readonly [] }
  | { readonly config?: undefined; readonly problems: readonly ConfigProblem[] };

/** `tree`: the parsed document. An empty document is a gateway without routes. */
export function checkGatewayConfig(tree: unknown): CheckedConfig {
  const value = tree ?? {};
  const shape = merged(Value.Errors(GatewayConfig, value).flatMap(shapeProblems));
  if (shape.length > 0) return { problems: shape.slice(0, PROBLEMS_MAX) };
  const config = value as GatewayConfig;
  const problems = [...providerProblems(config), ...clusterProblems(config), ...routeProblems(config)];
  return problems.length > 0 ? { problems: problems.slice(0, PROBLEMS_MAX) } : { config, problems: [] };
}

interface ShapeError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: object;
}

/** In words, and an unknown field is pointed at itself, not at its holder. */
function shapeProblems({ keyword, instancePath: pointer, message, params }: ShapeError): ConfigProblem[] {
  const { additionalProperties, requiredProperties, allowedValues, allowedValue } = params as {
    additionalProperties?: string[];
    requiredProperties?: string[];
    allowedValues?: unknown[];
    allowedValue?: unknown;
  };
  // TypeBox also says of an unknown field that "schema is false", and of a union that no side fits.
  if (keyword === "boolean" || keyword === "anyOf") return [];
  if (additionalProperties) {
    return additionalProperties.map((name) => ({
      pointer: `${pointer}/${escape(name)}`,
      message: `Unknown field "${name}".`,
    }));
  }
  if (requiredProperties) {
    const names = requiredProperties.map((name) => `"${name}"`).join(", ");
    return [{ pointer, message: `Missing: ${names}.` }];
  }
  if (allowedValues) return [{ pointer, message: `Must be one of ${allowedValues.join(", ")}.` }];
  if (allowedValue !== undefined) return [{ pointer, message: `Must be ${JSON.stringify(allowedValue)}.` }];
  return [{ pointer, message: `${message.slice(0, 1).toUpperCase()}${message.slice(1)}.` }];
}

/** One problem per place; what each side of a union asks for stands in one line. */
function merged(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const byPointer = new Map<string, string[]>();
  for (const { pointer, message } of problems) {
    const messages = byPointer.get(pointer) ?? [];
    if (!messages.includes(message)) byPointer.set(pointer, [...messages, message]);
  }
  return [...byPointer].map(([pointer, messages]) => ({ pointer, message: messages.join(" Or: ") }));
}

function escape(part: string): string {
  return part.replaceAll("~", "~0").replaceAll("/", "~1");
}

function* duplicates(list: readonly { name: string }[], pointer: string, what: string): Generator<ConfigProblem> {
  const seen = new Set<string>();
  for (const [index, { name }] of list.entries()) {
    if (seen.has(name)) yield { pointer: `${pointer}/${index}/name`, message: `A second ${what} named "${name}".` };
    seen.add(name);
  }
}

function* providerProblems({ jwt = [] }: GatewayConfig): Generator<ConfigProblem> {
  yield* duplicates(jwt, "/jwt", "jwt provider");
  for (const [index, provider] of jwt.entries()) {
    const pointer = `/jwt/${index}/jwks/url`;
    const url = URL.parse(provider.jwks.url);
    if (!url) yield { pointer, message: `"${provider.jwks.url}" is no URL.` };
    else if (url.username !== "" || url.password !== "") yield { pointer, message: "The URL holds a password." };
    else if (url.protocol === "http:" && !isLoopback(url.hostname)) {
      yield {
        pointer,
        message:
          "Keys come by https; http is for loopback only, since whoever changes them on the way can make tokens.",
      };
    }
    if (provider.jwks.ca !== undefined && provider.jwks.caFile !== undefined) {
      yield { pointer: `/jwt/${index}/jwks`, message: "Give ca or caFile, not both." };
    }
  }
}

function isLoopback(hostname: string): boolean {
  const bare = hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
  return bare === "localhost" || (ipaddr.isValid(bare) && ipaddr.process(bare).range() === "loopback");
}

function* clusterProblems({ clusters = [] }: GatewayConfig): Generator<ConfigProblem> {
  yield* duplicates(clusters, "/clusters", "cluster");
  for (const [index, { tls, protocol }] of clusters.entries()) {
    if (tls?.ca !== undefined && tls.caFile !== undefined) {
      yield { pointer: `/clusters/${index}/tls`, message: "Give ca or caFile, not both." };
    }
    if (tls && protocol === "h2c") {
      yield { pointer: `/clusters/${index}/protocol`, message: "h2c is in the clear; with tls give h2, grpc or auto." };
    }
  }
}

function* routeProblems(config: GatewayConfig): Generator<ConfigProblem> {
  const routes = config.routes ?? [];
  yield* duplicates(routes, "/routes", "route");
  const providers = new Set(config.jwt?.map(({ name }) => name));
  const clusters = new Set(config.clusters?.map(({ name }) => name));
  const taken = new Map<string, string>();
  for (const [index, route] of routes.entries()) {
    const pointer = `/routes/${index}`;
    if (route.name === "none") {
      yield { pointer: `${pointer}/name`, message: '"none" is what metrics call requests without a route.' };
    }
    yield* matchProblems(route, pointer);
    if ((route.service === undefined) === (route.cluster === undefined)) {
      yield { pointer, message: "Give either service or cluster." };
    }
    if (route.cluster !== undefined && !clusters.has(route.cluster)) {
      yield { pointer: `${pointer}/cluster`, message: `No cluster "${route.cluster}" in clusters.` };
    }
    if (route.jwt && !providers.has(route.jwt.provider)) {
      yield { pointer: `${pointer}/jwt/provider`, message: `No provider "${route.jwt.provider}" in jwt.` };
    }
    yield* claimProblems(route, pointer);
    for (const signature of signatures(route)) {
      const other = taken.get(signature);
      if (other !== undefined) {
        yield {
          pointer: `${pointer}/match`,
          message: `Matches the same requests as route "${other}", so one of them would never be used.`,
        };
        break;
      }
      taken.set(signature, route.name);
    }
  }
}

function* matchProblems(route: RouteConfig, pointer: string): Generator<ConfigProblem> {
  const { path, hosts = [] } = route.match;
  if ((path.prefix === undefined) === (path.exact === undefined)) {
    yield { pointer: `${pointer}/match/path`, message: "Give either prefix or exact." };
  }
  for (const kind of ["prefix", "exact"] as const) {
    if (path[kind] !== undefined) yield* pathProblems(path[kind], `${pointer}/match/path/${kind}`);
  }
  if (route.rewrite) yield* pathProblems(route.rewrite.prefix, `${pointer}/rewrite/prefix`);
  for (const [at, host] of hosts.entries()) {
    const bare = host.startsWith("*.") ? host.slice(2) : host;
    const parsed = parseAuthority(bare);
    if (!parsed || parsed.host !== bare.toLowerCase() || parsed.authority !== parsed.host) {
      yield {
        pointer: `${pointer}/match/hosts/${at}`,
        message: `"${host}" is no host: give a name such as a.example or *.example, without scheme, port or path.`,
      };
    }
  }
}

function* pathProblems(path: string, pointer: string): Generator<ConfigProblem> {
  const canonical = canonicalTarget(path);
  if (!canonical.ok) yield { pointer, message: canonical.reason };
  else if (canonical.query !== "") yield { pointer, message: "A path has no query." };
  else if (canonical.path !== path) {
    yield { pointer, message: `Requests are matched by their canonical path; write "${canonical.path}".` };
  }
}

/** Headers that a claim must not become: they frame or route the request. */
const FRAMING = new Set([
  "host",
  "connection",
  "content-length",
  "transfer-encoding",
  "upgrade",
  "te",
  "trailer",
  "expect",
  "authorization",
  "forwarded",
  "keep-alive",
  "traceparent",
  "tracestate",
]);

function* claimProblems(route: RouteConfig, pointer: string): Generator<ConfigProblem> {
  if (route.acl && !route.jwt) {
    yield { pointer: `${pointer}/acl`, message: "Access rules read the claims of a token; give the route a jwt." };
  }
  if (typeof route.rateLimit?.by === "object" && !route.jwt) {
    yield { pointer: `${pointer}/rateLimit/by`, message: "A limit by claim needs a token; give the route a jwt." };
  }
  for (const [claim, header] of Object.entries(route.jwt?.forwardClaims ?? {})) {
    if (FRAMING.has(header.toLowerCase()) || header.toLowerCase().startsWith("x-forwarded-")) {
      yield {
        pointer: `${pointer}/jwt/forwardClaims/${escape(claim)}`,
        message: `A claim cannot become the header "${header}".`,
      };
    }
  }
  for (const [at, entry] of (route.acl?.allow ?? []).entries()) {
    yield* entryProblems(entry, `${pointer}/acl/allow/${at}`);
  }
}

function* entryProblems(entry: AclEntry, pointer: string): Generator<ConfigProblem> {
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

/** One line per host and method: routes that share one, at equal priority, cannot be told apart. */
function signatures(route: RouteConfig): string[] {
  const { kind, value } = pathOf(route);
  const hosts = route.match.hosts ?? [""];
  const methods: readonly string[] = route.match.methods ?? [""];
  return hosts.flatMap((host) =>
    methods.map((method) => [route.priority ?? 0, host.toLowerCase(), kind, value, method].join(" ")),
  );
}
