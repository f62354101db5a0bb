/** The route table: a checked config, compiled. Requests use the old table until the new one replaces it in one assignment. */
import { OWN_LISTENER, type GatewayConfig, type JwtProvider, type Listener, type RouteConfig } from "../../api.ts";
import { ClusterTable, type CompiledCluster } from "../balancing/cluster.ts";
import { type MatchHead } from "./conditions.ts";
import { CidrSet } from "../request/cidr-set.ts";
import { Consumers } from "../callers/consumers.ts";
import { NO_FILTERS, type Filters } from "../request/filter.ts";
import type { RawHead, RequestHead } from "../request/head.ts";
import { hostMatches } from "./route-order.ts";
import { Ports } from "../request/listener-ports.ts";
import { compileRoute, type CompiledRoute } from "./route.ts";
import { buildIndex, findRoute, type RouteIndex, type RouteMatch } from "./route-index.ts";

export { hostMatches } from "./route-order.ts";
export { upstreamPath } from "../rewriting/rewrite.ts";
export type { ClusterTls, CompiledCluster } from "../balancing/cluster.ts";
export type { CompiledRoute, ForwardRoute } from "./route.ts";
export type { RouteMatch } from "./route-index.ts";

export interface CompiledListener extends Listener {
  readonly index: RouteIndex;
}

export interface RouteTable {
  readonly routes: readonly CompiledRoute[];
  readonly clusters: ReadonlyMap<string, CompiledCluster>;
  readonly providers: ReadonlyMap<string, JwtProvider>;
  readonly consumers: Consumers;
  /** By name; always contains the process's own listener. */
  readonly listeners: ReadonlyMap<string, CompiledListener>;
  readonly ports: Ports;
  /** Namespaces of the registry whose instances it needs. */
  readonly namespaces: ReadonlySet<string>;
  /** Proxies in front of this gateway; undefined: none. */
  readonly trusted: CidrSet | undefined;
  /** Whether every client, not only a trusted proxy, decides if its trace is sampled. */
  readonly trustsAllTraces: boolean;
  /** Headers, in lower case, that only the gateway may set. */
  readonly ownHeaders: ReadonlySet<string>;
}

export interface TableOptions {
  /** The namespace of clusters that set none. */
  readonly namespace: string;
  readonly filters?: Filters;
  /** Routes from the hints of services; see core/routing/hints.ts. */
  readonly hinted?: readonly RouteConfig[];
  /** The number of the gateway's processes, which share the limits of a cluster's connections. */
  readonly workers?: number;
}

/** Compiles a config in which core/check/config.ts found no problem. */
export function compileTable(
  config: GatewayConfig,
  { namespace, filters = NO_FILTERS, hinted = [], workers = 1 }: TableOptions,
): RouteTable {
  const clusters = new ClusterTable(config, namespace, workers);
  const parts = { clusters, filters, built: new Map() };
  const routes = [
    ...(config.routes ?? []).map((route) => compileRoute(route, { ...parts, hinted: false })),
    ...hinted.map((route) => compileRoute(route, { ...parts, hinted: true })),
  ];
  return {
    routes,
    clusters: clusters.byKey,
    providers: new Map((config.jwt ?? []).map((provider) => [provider.name, provider])),
    consumers: new Consumers(config.consumers ?? []),
    listeners: compileListeners(config.listeners ?? [], routes),
    ports: new Ports(config.listeners ?? []),
    namespaces: new Set([
      ...[...clusters.byKey.values()].flatMap((cluster) => (cluster.instances ? [] : [cluster.namespace])),
      ...(config.hints && config.hints.length > 0 ? [namespace] : []),
    ]),
    trusted: config.trustedProxies && config.trustedProxies.length > 0 ? new CidrSet(config.trustedProxies) : undefined,
    trustsAllTraces: config.traceTrust === "all",
    ownHeaders: new Set(routes.flatMap((route) => route.jwt?.forward.map(([, header]) => header) ?? [])),
  };
}

function compileListeners(
  listeners: readonly Listener[],
  routes: readonly CompiledRoute[],
): ReadonlyMap<string, CompiledListener> {
  return new Map(
    allListeners(listeners).map((listener) => {
      const attached = routes.filter((route) => attaches(route.listeners, listener));
      return [listener.name, { ...listener, index: buildIndex(attached) }];
    }),
  );
}

/** The listeners of a config, and the process's own. */
export function allListeners(listeners: readonly Listener[]): readonly Listener[] {
  return listeners.some(({ name }) => name === OWN_LISTENER) ? listeners : [{ name: OWN_LISTENER }, ...listeners];
}

/** A route that lists listeners is attached to those; other routes are attached to all listeners with `attach: all`. */
export function attaches(named: readonly string[] | undefined, { name, attach = "all" }: Listener): boolean {
  return named === undefined ? attach === "all" : named.includes(name);
}

const NOTHING: RouteMatch = { route: undefined, allow: [] };

export function matchRoute(table: RouteTable, head: MatchHead): RouteMatch {
  const listener = table.listeners.get(head.listener);
  if (!listener || !servesHost(listener, head.host)) return NOTHING;
  return findRoute(listener.index, head);
}

/** Why a request must use another connection; undefined: this connection is right. */
export function misdirection(
  { listeners, ports }: RouteTable,
  { listener, host, clientCertificate }: RequestHead,
  { port, tls }: RawHead,
): string | undefined {
  const { clientCertificates: clients } = listeners.get(listener) ?? {};
  const shown = clientCertificate !== undefined || clients?.mode === "verify-if-given";
  if (clients && (!shown || tls?.trusts !== clients.ca)) {
    return "This connection was opened before the listener's client certificate settings changed. Open a new connection.";
  }
  if (port === undefined || tls?.serverName === undefined) return undefined;
  if (!ports.misdirected(port, { serverName: tls.serverName, host })) return undefined;
  return `This connection was opened for ${tls.serverName}, which belongs to another listener. Open a connection for this host.`;
}

/** Whether a listener serves this host. */
export function servesHost({ hosts }: Pick<Listener, "hosts">, host: string): boolean {
  return hosts === undefined || hosts.some((pattern) => hostMatches(pattern.toLowerCase(), host));
}
