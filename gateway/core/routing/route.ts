/** A compiled route: everything that a decision reads, already parsed. */
import { canonicalJson } from "#base";
import {
  GATEWAY_DEFAULTS,
  type AclEntry,
  type ConcurrencyLimit,
  type HintedService,
  type LimitedBy,
  type RateLimit,
  type RouteConfig,
  type SplitEntry,
} from "../../api.ts";
import type { ClusterTable, CompiledCluster } from "../balancing/cluster.ts";
import { compileConditions, type Conditions } from "./conditions.ts";
import { compileCors, type CompiledCors } from "../rewriting/cors.ts";
import type { CompiledFilter, Filters } from "../request/filter.ts";
import { compileEdits, type CompiledEdits } from "../rewriting/header-edits.ts";
import { pathOf, variableNames, type PathPattern } from "../paths/path-pattern.ts";
import { sharedRate, type SharedPolicy } from "../limits/lease-arithmetic.ts";
import type { RatePolicy } from "../limits/rate-limit.ts";
import { NO_RETRY, type RetryPolicy } from "../balancing/retry.ts";
import { compileRedirect, compileRewrite, type CompiledRedirect, type CompiledRewrite } from "../rewriting/rewrite.ts";

export interface CompiledBackend {
  /** The route with the cluster of this backend. */
  readonly route: ForwardRoute;
  readonly weight: number;
  readonly when: SplitEntry["when"];
  /** The edits of the route and then of the backend; undefined: neither has any. */
  readonly edits:
    | { readonly request: readonly CompiledEdits[]; readonly response: readonly CompiledEdits[] }
    | undefined;
}

export interface CompiledMirror {
  readonly route: ForwardRoute;
  /** 0 to 1. */
  readonly share: number;
}

export interface CompiledRoute {
  readonly name: string;
  /** The route comes from a service's hint. Every route of the config comes before it. */
  readonly hinted: boolean;
  readonly hosts: readonly string[];
  readonly listeners: readonly string[] | undefined;
  readonly path: PathPattern;
  readonly conditions: Conditions;
  readonly priority: number;
  /** The cluster of the requests; with a split, its heaviest. undefined: the gateway answers itself. */
  readonly cluster: CompiledCluster | undefined;
  /** One, or several with a split; empty when the gateway answers itself. */
  readonly backends: readonly CompiledBackend[];
  readonly splitBy: RouteConfig["splitBy"];
  readonly mirrors: readonly CompiledMirror[];
  readonly redirect: CompiledRedirect | undefined;
  readonly respond: RouteConfig["respond"];
  readonly rewrite: CompiledRewrite | undefined;
  /** How the route treats paths that services interpret differently; absent: it rejects them. */
  readonly paths: NonNullable<RouteConfig["paths"]>;
  /** The Host that the service receives; undefined: the endpoint's own. */
  readonly hostRewrite: string | undefined;
  /** For the gateway's own answers. The answers of a service have the edits of their backend. */
  readonly responseHeaders: CompiledEdits | undefined;
  readonly sticky: { readonly cookie: string; readonly attributes: string } | undefined;
  readonly cors: CompiledCors | undefined;
  readonly compress: CompiledCompress | undefined;
  readonly cache: { readonly entryBytesMax: number; readonly staleIfErrorSeconds: number } | undefined;
  readonly filters: readonly CompiledFilter[];
  readonly jwt:
    | { readonly provider: string; readonly forward: readonly (readonly [claim: string, header: string])[] }
    | undefined;
  readonly acl: readonly AclEntry[] | undefined;
  readonly rateLimit:
    | {
        readonly policy: RatePolicy;
        readonly by: LimitedBy;
        /** Shared by all gateways. */
        readonly shared: SharedPolicy | undefined;
        readonly header: string;
      }
    | undefined;
  readonly quota: { readonly policy: SharedPolicy; readonly by: LimitedBy; readonly header: string } | undefined;
  readonly concurrency: ConcurrencyLimit | undefined;
  readonly bodyBytesMax: number;
  readonly perTryMs: number | undefined;
  readonly totalMs: number | undefined;
  readonly connectMs: number;
  readonly headersMs: number;
  readonly idleMs: number;
  readonly retry: RetryPolicy;
  /** Header, in lower case, in which the service receives the time that is left. */
  readonly deadlineHeader: string | undefined;
  /** 0 is rejected first under overload. */
  readonly importance: 0 | 1 | 2;
}

/** A route whose requests go to a cluster. */
export interface ForwardRoute extends CompiledRoute {
  readonly cluster: CompiledCluster;
}

export type Encoding = "zstd" | "br" | "gzip";
export interface CompiledCompress {
  readonly encodings: readonly Encoding[];
  readonly types: readonly string[];
  readonly bytesMin: number;
}

/** Types that compress well. Images, videos and archives are compressed already. */
const COMPRESSED_TYPES = [
  "text/*",
  "application/json",
  "application/*+json",
  "application/javascript",
  "application/xml",
  "application/*+xml",
  "application/yaml",
  "application/wasm",
  "image/svg+xml",
] as const;

const IMPORTANCE = { low: 0, normal: 1, critical: 2 } as const;

export interface RouteParts {
  readonly clusters: ClusterTable;
  readonly filters: Filters;
  /** The filters that this table has built so far, by name and config. */
  readonly built: Map<string, CompiledFilter>;
  readonly hinted: boolean;
}

/** Compiles a route in which core/check/config.ts found no problem. */
export function compileRoute(route: RouteConfig, parts: RouteParts): CompiledRoute {
  const { clusters } = parts;
  const path = pathOf(route.match);
  const names = variableNames(path);
  const targets = targetsOf(route).map((target) => ({ target, cluster: clusters.of(target) }));
  const [heaviest] = targets.toSorted((a, b) => (b.target.weight ?? 1) - (a.target.weight ?? 1));
  const compiled = compileAlone(route, path, heaviest?.cluster, parts);
  const toward = (cluster: CompiledCluster): ForwardRoute => ({ ...compiled, cluster, ...timeLimits(route, cluster) });
  return {
    ...compiled,
    backends: targets.map(({ target, cluster }) => ({
      route: toward(cluster),
      weight: target.weight ?? 1,
      when: target.when,
      edits: backendEdits(route, target, names),
    })),
    mirrors: (route.mirror ?? []).map((mirror) => ({
      route: {
        ...toward(clusters.of(mirror)),
        retry: NO_RETRY,
        rateLimit: undefined,
        quota: undefined,
        concurrency: undefined,
      },
      share: (mirror.percent ?? 100) / 100,
    })),
  };
}

/** The route without its backends and mirrors, which are copies of it with another cluster. */
function compileAlone(
  route: RouteConfig,
  path: PathPattern,
  cluster: CompiledCluster | undefined,
  parts: RouteParts,
): CompiledRoute {
  const names = variableNames(path);
  return {
    name: route.name,
    hinted: parts.hinted,
    hosts: (route.match.hosts ?? []).map((host) => host.toLowerCase()),
    listeners: route.listeners,
    path,
    conditions: compileConditions(route.match),
    priority: route.priority ?? 0,
    cluster,
    backends: [],
    splitBy: route.splitBy,
    mirrors: [],
    redirect: compileRedirect(route.redirect, names),
    respond: route.respond,
    rewrite: compileRewrite(route.rewrite, names),
    paths: route.paths ?? {},
    hostRewrite: route.rewrite?.host?.toLowerCase(),
    responseHeaders: compileEdits(route.responseHeaders, names),
    sticky: route.sticky && compileSticky(route.sticky),
    cors: route.cors && compileCors(route.cors, GATEWAY_DEFAULTS.corsMaxAgeSeconds),
    compress: route.compress && {
      encodings: route.compress.encodings ?? ["zstd", "br", "gzip"],
      types: route.compress.types ?? COMPRESSED_TYPES,
      bytesMin: route.compress.bytesMin ?? GATEWAY_DEFAULTS.compressBytesMin,
    },
    cache: route.cache && {
      entryBytesMax: route.cache.entryBytesMax ?? GATEWAY_DEFAULTS.cacheEntryBytesMax,
      staleIfErrorSeconds: route.cache.staleIfErrorSeconds ?? 0,
    },
    filters: compileFilters(route.filters, parts),
    ...compilePolicies(route),
    perTryMs: route.timeouts?.perTryMs,
    totalMs: route.timeouts?.totalMs,
    ...timeLimits(route, cluster ?? GATEWAY_DEFAULTS),
    retry: {
      attempts: route.retry?.attempts ?? GATEWAY_DEFAULTS.retryAttempts,
      on: new Set(route.retry?.on ?? (["connect", "reset"] as const)),
      statuses: new Set(route.retry?.statuses),
      hedgeMs: route.retry?.hedgeMs,
    },
    deadlineHeader: route.deadlineHeader?.toLowerCase(),
    importance: IMPORTANCE[route.importance ?? "normal"],
  };
}

type TimeLimits = Pick<CompiledRoute, "connectMs" | "headersMs" | "idleMs">;

/** The route's own limits come before those of its cluster. */
function timeLimits({ timeouts = {} }: RouteConfig, cluster: TimeLimits): TimeLimits {
  return {
    connectMs: timeouts.connectMs ?? cluster.connectMs,
    headersMs: timeouts.headersMs ?? cluster.headersMs,
    idleMs: timeouts.idleMs ?? cluster.idleMs,
  };
}

function backendEdits(route: RouteConfig, target: SplitEntry, names: readonly string[]): CompiledBackend["edits"] {
  const both = (name: "requestHeaders" | "responseHeaders") =>
    [route[name], target[name]].flatMap((edits) => compileEdits(edits, names) ?? []);
  const edits = { request: both("requestHeaders"), response: both("responseHeaders") };
  return edits.request.length + edits.response.length > 0 ? edits : undefined;
}

/** The destinations of a route, whether given as service, cluster or split. */
function targetsOf({ service, cluster, split }: RouteConfig): readonly SplitEntry[] {
  if (split) return split;
  if (service !== undefined) return [{ service }];
  return cluster === undefined ? [] : [{ cluster }];
}

function compilePolicies(
  given: Pick<HintedService, "jwt" | "acl" | "rateLimit" | "quota" | "concurrency" | "bodyBytesMax">,
) {
  const { rateLimit: limit, quota } = given;
  return {
    jwt: given.jwt && {
      provider: given.jwt.provider,
      forward: Object.entries(given.jwt.forwardClaims ?? {}).map(
        ([claim, header]) => [claim, header.toLowerCase()] as const,
      ),
    },
    acl: given.acl?.allow,
    rateLimit: limit && {
      policy: ratePolicy(limit),
      by: limit.by,
      shared: limit.scope === "cluster" ? sharedRate(ratePolicy(limit)) : undefined,
      header: `"default";q=${limit.requests};w=${Math.max(1, Math.round(limit.perSeconds))}`,
    },
    quota: quota && {
      policy: { requests: quota.requests, per: quota.per, burst: quota.requests },
      by: quota.by,
      header: `"quota";q=${quota.requests};w=${quota.per === "day" ? 86_400 : 2_592_000}`,
    },
    concurrency: given.concurrency,
    bodyBytesMax: given.bodyBytesMax ?? GATEWAY_DEFAULTS.bodyBytesMax,
  };
}

function ratePolicy({ requests, perSeconds, burst = requests }: RateLimit): RatePolicy {
  return { requests, perMs: perSeconds * 1000, burst };
}

/** Equal uses of a filter are built once per table. */
function compileFilters(uses: RouteConfig["filters"], { filters, built }: RouteParts): readonly CompiledFilter[] {
  return (uses ?? []).map(({ name, config = {} }) => {
    const key = canonicalJson([name, config]);
    const known = built.get(key);
    if (known) return known;
    const filter = filters.get(name);
    if (!filter) throw new Error(`Unknown filter "${name}".`);
    const compiled: CompiledFilter = { name, phase: filter.phase, built: filter.build(config as never) };
    built.set(key, compiled);
    return compiled;
  });
}

function compileSticky({
  cookie = "posthouse-sticky",
  maxAgeSeconds,
  sameSite = "Lax",
}: NonNullable<RouteConfig["sticky"]>) {
  const parts = ["Path=/", "HttpOnly", `SameSite=${sameSite}`];
  if (maxAgeSeconds !== undefined) parts.push(`Max-Age=${maxAgeSeconds}`);
  if (sameSite === "None") parts.push("Secure");
  return { cookie, attributes: parts.join("; ") };
}
