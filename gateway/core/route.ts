/** A route and a cluster, compiled: what a decision reads, with nothing left to parse. */
import type { Static } from "typebox";
import { canonicalJson } from "#base";
import {
  GATEWAY_DEFAULTS,
  type AclEntry,
  type Balance,
  type ClusterConfig,
  type ConcurrencyLimit,
  type ClusterProtocol,
  type GatewayConfig,
  type HintedService,
  type LimitedBy,
  type RouteConfig,
  type SplitEntry,
  type StaticEndpoint,
} from "../api.ts";
import { compileConditions, type Conditions } from "./conditions.ts";
import { compileCors, type CompiledCors } from "./cors.ts";
import type { CompiledFilter, Filters } from "./filter.ts";
import type { CatalogInstance } from "./endpoints.ts";
import { compileEdits, type CompiledEdits } from "./header-edits.ts";
import { pathOf, variableNames, type PathPattern } from "./path-pattern.ts";
import type { GradientPolicy } from "./gradient.ts";
import type { SharedPolicy } from "./leased-limits.ts";
import type { OutlierPolicy } from "./outlier.ts";
import type { RatePolicy } from "./rate-limit.ts";
import { NO_RETRY, type RetryPolicy } from "./retry.ts";
import { compileRedirect, compileRewrite, type CompiledRedirect, type CompiledRewrite } from "./rewrite.ts";

export interface ClusterTls {
  readonly ca?: string;
  readonly caFile?: string;
  readonly serverName?: string;
}

/** Most of each, at once, of a whole cluster. */
export interface BreakerPolicy {
  readonly connectionsMax: number;
  readonly pendingMax: number;
  readonly requestsMax: number;
  readonly retriesMax: number;
}

export interface CompiledCluster {
  readonly key: string;
  readonly namespace: string;
  readonly service: string;
  /** Those of the config; undefined: the registry's. */
  readonly instances: readonly CatalogInstance[] | undefined;
  /** Name of the instances' port; undefined: their main one. */
  readonly port: string | undefined;
  readonly tls: ClusterTls;
  /** What is spoken to its endpoints; undefined: what each of them registered. */
  readonly protocol: ClusterProtocol | undefined;
  readonly connectMs: number;
  readonly headersMs: number;
  readonly idleMs: number;
  readonly inFlightMax: number;
  readonly balance: Balance;
  readonly hashBy: NonNullable<ClusterConfig["hashBy"]>;
  readonly subset: readonly (readonly [label: string, value: string])[];
  readonly zoneAware: boolean;
  readonly slowStartMs: number;
  readonly panicPercent: number;
  readonly outlier: OutlierPolicy;
  readonly breaker: BreakerPolicy;
  readonly adaptive: GradientPolicy | undefined;
  /** Equal when connections may be shared. */
  readonly connectionKey: string;
}

export interface CompiledBackend {
  /** The route as it is when the request goes here. */
  readonly route: ForwardRoute;
  readonly weight: number;
  readonly when: SplitEntry["when"];
  readonly requestHeaders: CompiledEdits | undefined;
  readonly responseHeaders: CompiledEdits | undefined;
}

export interface CompiledMirror {
  readonly route: ForwardRoute;
  /** 0 to 1. */
  readonly share: number;
}

export interface CompiledRoute {
  readonly name: string;
  /** From a service's hint; every route of the config comes before it. */
  readonly hinted: boolean;
  readonly hosts: readonly string[];
  readonly listeners: readonly string[] | undefined;
  readonly path: PathPattern;
  readonly conditions: Conditions;
  readonly priority: number;
  /** Where requests go; with a split, its heaviest. undefined: the gateway answers itself. */
  readonly cluster: CompiledCluster | undefined;
  /** One, unless there is a split; none, when the gateway answers itself. */
  readonly backends: readonly CompiledBackend[];
  readonly splitBy: RouteConfig["splitBy"];
  readonly mirrors: readonly CompiledMirror[];
  readonly redirect: CompiledRedirect | undefined;
  readonly respond: RouteConfig["respond"];
  readonly rewrite: CompiledRewrite | undefined;
  /** The Host that the service sees; undefined: the endpoint's own. */
  readonly hostRewrite: string | undefined;
  readonly requestHeaders: CompiledEdits | undefined;
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
  readonly headersMs: number;
  readonly idleMs: number;
  readonly retry: RetryPolicy;
  /** Header by which the service is told how much time is left, in lower case. */
  readonly deadlineHeader: string | undefined;
  /** 0 is shed first. */
  readonly importance: 0 | 1 | 2;
}

/** A route on its way to an upstream. */
export interface ForwardRoute extends CompiledRoute {
  readonly cluster: CompiledCluster;
}

export type Encoding = "zstd" | "br" | "gzip";
export interface CompiledCompress {
  readonly encodings: readonly Encoding[];
  readonly types: readonly string[];
  readonly bytesMin: number;
}

/** Types that shrink. Images, films and archives are compressed already. */
export const COMPRESSED_TYPES = [
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

/** The clusters of one table; one that differs in how long a connection may take is another. */
export class ClusterTable {
  readonly byKey = new Map<string, CompiledCluster>();
  readonly #namespace: string;
  readonly #workers: number;

  constructor(config: GatewayConfig, namespace: string, workers: number) {
    this.#namespace = namespace;
    this.#workers = workers;
    for (const { name, ...cluster } of config.clusters ?? []) this.#add(`cluster:${name}`, cluster);
  }

  /** Of a service or a cluster by name. */
  of({ service, cluster }: { service?: string; cluster?: string }, connectMs: number | undefined): CompiledCluster {
    const base = cluster === undefined ? `service:${service}` : `cluster:${cluster}`;
    const plain = this.byKey.get(base) ?? this.#add(base, { service: service as string });
    if (connectMs === undefined || connectMs === plain.connectMs) return plain;
    const key = `${base}~connect=${connectMs}`;
    const known = this.byKey.get(key);
    if (known) return known;
    const other = { ...plain, key, connectMs, connectionKey: connectionKeyOf(plain.tls, connectMs, plain.inFlightMax) };
    this.byKey.set(key, other);
    return other;
  }

  #add(key: string, given: Omit<NonNullable<GatewayConfig["clusters"]>[number], "name">): CompiledCluster {
    const { connectMs, headersMs, idleMs } = { ...GATEWAY_DEFAULTS, ...given.timeouts };
    const inFlightMax = part(given.inFlightMax ?? GATEWAY_DEFAULTS.inFlightMax, this.#workers);
    const tls = given.tls ?? {};
    const namespace = given.namespace ?? this.#namespace;
    const service = given.service ?? key.slice("cluster:".length);
    const compiled: CompiledCluster = {
      key,
      namespace,
      service,
      instances: given.endpoints?.map((one) => staticInstance({ namespace, service }, one)),
      port: given.port,
      tls,
      protocol: given.protocol,
      connectMs,
      headersMs,
      idleMs,
      inFlightMax,
      ...compileResilience(given, this.#workers),
      connectionKey: connectionKeyOf(tls, connectMs, inFlightMax),
    };
    this.byKey.set(key, compiled);
    return compiled;
  }
}

/**
 * A worker's part of what one endpoint or its connections may be. Not shared by news as requests are: a connection
 * that another worker keeps idle is of no use to this one, and must not be what leaves it without any.
 */
function part(most: number, workers: number): number {
  return Math.ceil(most / workers);
}

function compileResilience(given: Omit<ClusterConfig, "name">, workers: number) {
  const { outlierErrors, ejectionSeconds, ejectedPercentMax, adaptiveMin, adaptiveMax } = GATEWAY_DEFAULTS;
  const { connectionsMax, pendingMax, requestsMax, retriesMax } = { ...GATEWAY_DEFAULTS, ...given.breaker };
  const { outlier = {}, adaptive } = given;
  return {
    balance: given.balance ?? "p2c",
    hashBy: given.hashBy ?? "ip",
    subset: Object.entries(given.subset ?? {}),
    zoneAware: given.zoneAware ?? true,
    slowStartMs: (given.slowStartSeconds ?? GATEWAY_DEFAULTS.slowStartSeconds) * 1000,
    panicPercent: given.panicPercent ?? GATEWAY_DEFAULTS.panicPercent,
    outlier: {
      consecutiveErrors: outlier.consecutiveErrors ?? outlierErrors,
      ejectionMs: (outlier.ejectionSeconds ?? ejectionSeconds) * 1000,
      ejectedPercentMax: outlier.ejectedPercentMax ?? ejectedPercentMax,
      successRate: outlier.successRate ?? true,
    },
    breaker: {
      connectionsMax: part(connectionsMax, workers),
      pendingMax: part(pendingMax, workers),
      requestsMax,
      retriesMax,
    },
    adaptive: adaptive && { min: adaptive.min ?? adaptiveMin, max: adaptive.max ?? adaptiveMax },
  } as const;
}

function staticInstance(
  name: { namespace: string; service: string },
  { address, port, protocol = "http", weight = 100, zone }: Static<typeof StaticEndpoint>,
): CatalogInstance {
  return {
    ...name,
    id: `${address}:${port}`,
    address,
    port,
    protocol,
    ports: [],
    weight,
    zone,
    lifecycle: "serving",
    status: "passing",
  };
}

function connectionKeyOf(tls: ClusterTls, connectMs: number, inFlightMax: number): string {
  return canonicalJson([tls, connectMs, inFlightMax]);
}

const IMPORTANCE = { low: 0, normal: 1, critical: 2 } as const;

export interface RouteParts {
  readonly clusters: ClusterTable;
  readonly filters: Filters;
  readonly hinted: boolean;
}

/** Compiles a route that core/check.ts found nothing wrong with. */
export function compileRoute(route: RouteConfig, { clusters, filters, hinted }: RouteParts): CompiledRoute {
  const { connectMs, totalMs, perTryMs, ...timeouts } = route.timeouts ?? {};
  const path = pathOf(route.match);
  const names = variableNames(path);
  const targets = targetsOf(route).map((target) => ({ target, cluster: clusters.of(target, connectMs) }));
  const [main] = targets.toSorted((a, b) => (b.target.weight ?? 1) - (a.target.weight ?? 1));
  const plain: CompiledRoute = {
    name: route.name,
    hinted,
    hosts: (route.match.hosts ?? []).map((host) => host.toLowerCase()),
    listeners: route.listeners,
    path,
    conditions: compileConditions(route.match),
    priority: route.priority ?? 0,
    cluster: main?.cluster,
    backends: [],
    splitBy: route.splitBy,
    mirrors: [],
    redirect: compileRedirect(route.redirect, names),
    respond: route.respond,
    rewrite: compileRewrite(route.rewrite, names),
    hostRewrite: route.rewrite?.host?.toLowerCase(),
    requestHeaders: compileEdits(route.requestHeaders, names),
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
    filters: compileFilters(route.filters, filters),
    ...compilePolicies(route),
    perTryMs,
    totalMs,
    headersMs: timeouts.headersMs ?? main?.cluster.headersMs ?? GATEWAY_DEFAULTS.headersMs,
    idleMs: timeouts.idleMs ?? main?.cluster.idleMs ?? GATEWAY_DEFAULTS.idleMs,
    retry: {
      attempts: route.retry?.attempts ?? GATEWAY_DEFAULTS.retryAttempts,
      on: new Set(route.retry?.on ?? (["connect", "reset"] as const)),
      statuses: new Set(route.retry?.statuses),
      hedgeMs: route.retry?.hedgeMs,
    },
    deadlineHeader: route.deadlineHeader?.toLowerCase(),
    importance: IMPORTANCE[route.importance ?? "normal"],
  };
  const towards = (cluster: CompiledCluster): ForwardRoute => ({
    ...plain,
    cluster,
    headersMs: timeouts.headersMs ?? cluster.headersMs,
    idleMs: timeouts.idleMs ?? cluster.idleMs,
  });
  return {
    ...plain,
    backends: targets.map(({ target, cluster }) => ({
      route: towards(cluster),
      weight: target.weight ?? 1,
      when: target.when,
      requestHeaders: compileEdits(target.requestHeaders, names),
      responseHeaders: compileEdits(target.responseHeaders, names),
    })),
    mirrors: (route.mirror ?? []).map((mirror) => ({
      route: {
        ...towards(clusters.of(mirror, connectMs)),
        retry: NO_RETRY,
        rateLimit: undefined,
        quota: undefined,
        concurrency: undefined,
      },
      share: (mirror.percent ?? 100) / 100,
    })),
  };
}

/** Service, cluster or split: all are a list of where requests go. */
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
      policy: { requests: limit.requests, perMs: limit.perSeconds * 1000, burst: limit.burst ?? limit.requests },
      by: limit.by,
      shared:
        limit.scope === "cluster"
          ? { requests: limit.requests, per: limit.perSeconds * 1000, burst: limit.burst ?? limit.requests }
          : undefined,
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

/** Equal uses of a filter are built once per table. */
function compileFilters(uses: RouteConfig["filters"], filters: Filters): readonly CompiledFilter[] {
  return (uses ?? []).map(({ name, config = {} }) => {
    const filter = filters.get(name);
    if (!filter) throw new Error(`No filter is called "${name}".`);
    return { name, phase: filter.phase, built: filter.build(config as never) };
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
