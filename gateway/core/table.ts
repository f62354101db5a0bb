/**
 * The route table: a checked config, compiled. Built beside the running one and swapped by one pointer.
 *
 * Which route takes a request is a total order that people can work out: higher priority; then exact host before
 * wildcard (longer first) before any host; then exact path before prefix (longer first); then with methods before
 * without; then as written. The first in that order that matches, wins.
 */
import { canonicalJson } from "#base";
import {
  GATEWAY_DEFAULTS,
  type AclEntry,
  type ClusterProtocol,
  type GatewayConfig,
  type JwtProvider,
  type RouteConfig,
} from "../api.ts";
import type { RatePolicy } from "./rate-limit.ts";
import type { RequestHead } from "./head.ts";

export interface ClusterTls {
  readonly ca?: string;
  readonly caFile?: string;
  readonly serverName?: string;
}

export interface CompiledCluster {
  readonly key: string;
  readonly namespace: string;
  readonly service: string;
  /** Name of the instances' port; undefined: their main one. */
  readonly port: string | undefined;
  readonly tls: ClusterTls;
  /** What is spoken to its endpoints; undefined: what each of them registered. */
  readonly protocol: ClusterProtocol | undefined;
  readonly connectMs: number;
  readonly headersMs: number;
  readonly idleMs: number;
  readonly inFlightMax: number;
  /** Equal when connections may be shared. */
  readonly connectionKey: string;
}

export interface CompiledRoute {
  readonly name: string;
  readonly hosts: readonly string[];
  readonly path: { readonly kind: "exact" | "prefix"; readonly value: string };
  readonly methods: ReadonlySet<string> | undefined;
  readonly priority: number;
  /** Place in the config. */
  readonly index: number;
  readonly cluster: CompiledCluster;
  readonly rewrite: string | undefined;
  readonly jwt:
    | { readonly provider: string; readonly forward: readonly (readonly [claim: string, header: string])[] }
    | undefined;
  readonly acl: readonly AclEntry[] | undefined;
  readonly rateLimit:
    | { readonly policy: RatePolicy; readonly by: "ip" | { readonly claim: string }; readonly header: string }
    | undefined;
  readonly bodyBytesMax: number;
  readonly totalMs: number | undefined;
  readonly headersMs: number;
  readonly idleMs: number;
  readonly retriesMax: number;
}

export interface RouteTable {
  readonly routes: readonly CompiledRoute[];
  readonly clusters: ReadonlyMap<string, CompiledCluster>;
  readonly providers: ReadonlyMap<string, JwtProvider>;
  /** Headers, in lower case, that only the gateway may set. */
  readonly ownHeaders: ReadonlySet<string>;
  readonly byHost: ReadonlyMap<string, HostRoutes>;
  /** By suffix with its dot: `.example`. */
  readonly byWildcard: ReadonlyMap<string, HostRoutes>;
  readonly anyHost: HostRoutes;
}

/** The routes that a host may reach, by the first segment of the path, each list in order. */
interface HostRoutes {
  readonly bySegment: ReadonlyMap<string, readonly CompiledRoute[]>;
  /** For all other segments: the routes of the prefix `/`. */
  readonly others: readonly CompiledRoute[];
}

/** Compiles a config that core/check.ts found nothing wrong with. `namespace`: of services that name none. */
export function compileTable(config: GatewayConfig, options: { namespace: string }): RouteTable {
  const clusters = new Map<string, CompiledCluster>();
  for (const cluster of config.clusters ?? []) {
    const compiled = compileCluster(`cluster:${cluster.name}`, {
      namespace: cluster.namespace ?? options.namespace,
      service: cluster.service,
      port: cluster.port,
      tls: cluster.tls ?? {},
      protocol: cluster.protocol,
      timeouts: cluster.timeouts ?? {},
      inFlightMax: cluster.inFlightMax,
    });
    clusters.set(compiled.key, compiled);
  }
  const routes = (config.routes ?? []).map((route, index) => {
    const key = route.cluster === undefined ? `service:${route.service}` : `cluster:${route.cluster}`;
    let cluster = clusters.get(key);
    if (!cluster) {
      cluster = compileCluster(key, {
        namespace: options.namespace,
        service: route.service as string,
        port: undefined,
        tls: {},
        protocol: undefined,
        timeouts: {},
        inFlightMax: undefined,
      });
      clusters.set(key, cluster);
    }
    return compileRoute(route, index, cluster);
  });
  const hosts = new Set(routes.flatMap((route) => route.hosts));
  const hostRoutes = (host: string) =>
    indexBySegment(routes.filter((route) => hostRank(route, host) >= 0).sort((a, b) => compareRoutes(a, b, host)));
  return {
    routes,
    clusters,
    providers: new Map((config.jwt ?? []).map((provider) => [provider.name, provider])),
    ownHeaders: new Set(routes.flatMap((route) => route.jwt?.forward.map(([, header]) => header) ?? [])),
    byHost: new Map([...hosts].filter((host) => !host.startsWith("*.")).map((host) => [host, hostRoutes(host)])),
    byWildcard: new Map(
      [...hosts].filter((host) => host.startsWith("*.")).map((host) => [host.slice(1), hostRoutes(host)]),
    ),
    anyHost: hostRoutes(""),
  };
}

function compileCluster(
  key: string,
  given: {
    namespace: string;
    service: string;
    port: string | undefined;
    tls: ClusterTls;
    protocol: ClusterProtocol | undefined;
    timeouts: { connectMs?: number; headersMs?: number; idleMs?: number };
    inFlightMax: number | undefined;
  },
): CompiledCluster {
  const { connectMs, headersMs, idleMs } = { ...GATEWAY_DEFAULTS, ...given.timeouts };
  const inFlightMax = given.inFlightMax ?? GATEWAY_DEFAULTS.inFlightMax;
  return {
    key,
    namespace: given.namespace,
    service: given.service,
    port: given.port,
    tls: given.tls,
    protocol: given.protocol,
    connectMs,
    headersMs,
    idleMs,
    inFlightMax,
    connectionKey: canonicalJson([given.tls, connectMs, inFlightMax]),
  };
}

function compileRoute(route: RouteConfig, index: number, cluster: CompiledCluster): CompiledRoute {
  const limit = route.rateLimit;
  return {
    name: route.name,
    hosts: (route.match.hosts ?? []).map((host) => host.toLowerCase()),
    path: pathOf(route),
    methods: route.match.methods ? new Set(route.match.methods) : undefined,
    priority: route.priority ?? 0,
    index,
    cluster,
    rewrite: route.rewrite?.prefix,
    jwt: route.jwt && {
      provider: route.jwt.provider,
      forward: Object.entries(route.jwt.forwardClaims ?? {}).map(
        ([claim, header]) => [claim, header.toLowerCase()] as const,
      ),
    },
    acl: route.acl?.allow,
    rateLimit: limit && {
      policy: { requests: limit.requests, perMs: limit.perSeconds * 1000, burst: limit.burst ?? limit.requests },
      by: limit.by,
      header: `"default";q=${limit.requests};w=${Math.max(1, Math.round(limit.perSeconds))}`,
    },
    bodyBytesMax: route.bodyBytesMax ?? GATEWAY_DEFAULTS.bodyBytesMax,
    totalMs: route.timeouts?.totalMs,
    headersMs: route.timeouts?.headersMs ?? cluster.headersMs,
    idleMs: route.timeouts?.idleMs ?? cluster.idleMs,
    retriesMax: route.retry?.attempts ?? GATEWAY_DEFAULTS.retryAttempts,
  };
}

/** The path a route matches; a prefix without its last slash, as in the Gateway API. */
export function pathOf(route: RouteConfig): CompiledRoute["path"] {
  const { exact, prefix = "/" } = route.match.path;
  if (exact !== undefined) return { kind: "exact", value: exact };
  return { kind: "prefix", value: prefix.length > 1 && prefix.endsWith("/") ? prefix.slice(0, -1) : prefix };
}

/** How exactly a route names this host (a wildcard counts as itself); -1 when it does not. */
function hostRank(route: CompiledRoute, host: string): number {
  if (route.hosts.length === 0) return 0;
  return Math.max(
    ...route.hosts.map((pattern) =>
      hostMatches(pattern, host) ? (pattern.startsWith("*.") ? pattern.length : 1000) : -1,
    ),
  );
}

function compareRoutes(a: CompiledRoute, b: CompiledRoute, host: string): number {
  return (
    b.priority - a.priority ||
    hostRank(b, host) - hostRank(a, host) ||
    (a.path.kind === b.path.kind ? 0 : a.path.kind === "exact" ? -1 : 1) ||
    b.path.value.length - a.path.value.length ||
    Number(a.methods === undefined) - Number(b.methods === undefined) ||
    a.index - b.index
  );
}

/** `*.example` stands for one label or more before `.example`; another wildcard below it counts too. */
export function hostMatches(pattern: string, host: string): boolean {
  return (
    pattern === host || (pattern.startsWith("*.") && host.endsWith(pattern.slice(1)) && host.length >= pattern.length)
  );
}

function firstSegment(path: string): string {
  const end = path.indexOf("/", 1);
  return end < 0 ? path.slice(1) : path.slice(1, end);
}

function indexBySegment(routes: readonly CompiledRoute[]): HostRoutes {
  const others = routes.filter((route) => route.path.kind === "prefix" && route.path.value === "/");
  const segments = new Set(
    routes.filter((route) => !others.includes(route)).map((route) => firstSegment(route.path.value)),
  );
  return {
    others,
    bySegment: new Map(
      [...segments].map((segment) => [
        segment,
        routes.filter((route) => others.includes(route) || firstSegment(route.path.value) === segment),
      ]),
    ),
  };
}

export type RouteMatch =
  | { readonly route: CompiledRoute }
  /** Nothing matches; `allow`: the methods of routes that match but for the method. */
  | { readonly route: undefined; readonly allow: readonly string[] };

export function matchRoute(table: RouteTable, head: Pick<RequestHead, "host" | "path" | "method">): RouteMatch {
  const routes = routesOf(table, head.host);
  const candidates = routes.bySegment.get(firstSegment(head.path)) ?? routes.others;
  let allow: string[] | undefined;
  for (const route of candidates) {
    if (!pathMatches(route.path, head.path)) continue;
    if (route.methods === undefined || route.methods.has(head.method)) return { route };
    allow = [...(allow ?? []), ...route.methods];
  }
  return { route: undefined, allow: [...new Set(allow)] };
}

function routesOf(table: RouteTable, host: string): HostRoutes {
  const exact = table.byHost.get(host);
  if (exact) return exact;
  if (table.byWildcard.size > 0) {
    for (let dot = host.indexOf("."); dot > 0; dot = host.indexOf(".", dot + 1)) {
      const wildcard = table.byWildcard.get(host.slice(dot));
      if (wildcard) return wildcard;
    }
  }
  return table.anyHost;
}

function pathMatches(pattern: CompiledRoute["path"], path: string): boolean {
  const { kind, value } = pattern;
  if (kind === "exact") return path === value;
  return value === "/" || (path.startsWith(value) && (path.length === value.length || path[value.length] === "/"));
}

/** Where the request goes at the upstream: the matched part of a canonical path replaced. */
export function upstreamPath(route: CompiledRoute, path: string): string {
  if (route.rewrite === undefined) return path;
  const rest = route.path.value === "/" ? path : path.slice(route.path.value.length);
  const base = route.rewrite.endsWith("/") ? route.rewrite.slice(0, -1) : route.rewrite;
  const joined = rest === "" || rest.startsWith("/") ? `${base}${rest}` : `${base}/${rest}`;
  return joined === "" ? "/" : joined;
}
