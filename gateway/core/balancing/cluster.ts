/** A cluster, compiled: where requests may go, and what holds for all of them. */
import type { Static } from "typebox";
import { canonicalJson } from "#base";
import {
  BALANCES,
  GATEWAY_DEFAULTS,
  type Balance,
  type ClusterConfig,
  type ClusterProtocol,
  type GatewayConfig,
  type StaticEndpoint,
} from "../../api.ts";
import type { CatalogInstance } from "./instance.ts";
import type { GradientPolicy } from "./gradient.ts";

export interface ClusterTls {
  readonly ca?: string;
  readonly caFile?: string;
  readonly serverName?: string;
  readonly subjectAltNames?: readonly string[];
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
  /** What the balancing policy hashes of a request; undefined: it hashes nothing. */
  readonly hashBy: ClusterConfig["hashBy"];
  readonly subset: readonly (readonly [label: string, value: string])[];
  readonly zoneAware: boolean;
  readonly slowStartMs: number;
  readonly panicPercent: number;
  readonly outlier: OutlierPolicy;
  readonly breaker: BreakerPolicy;
  readonly adaptive: GradientPolicy | undefined;
  /**
   * Equal while its connections may be kept from one table to the next. Never that of another cluster: what a breaker
   * counts, and what is known of an endpoint, is each cluster's own.
   */
  readonly connectionKey: string;
}

/** The clusters of one table, with those of services that none is named for. */
export class ClusterTable {
  readonly byKey = new Map<string, CompiledCluster>();
  readonly #namespace: string;
  readonly #workers: number;

  /** `workers`: processes that the gateway is, among which some of a cluster's limits are split. */
  constructor(config: GatewayConfig, namespace: string, workers: number) {
    this.#namespace = namespace;
    this.#workers = workers;
    for (const { name, ...cluster } of config.clusters ?? []) this.#add(`cluster:${name}`, cluster);
  }

  /** Of a service or a cluster by name. */
  of({ service, cluster }: { service?: string; cluster?: string }): CompiledCluster {
    const key = cluster === undefined ? `service:${service}` : `cluster:${cluster}`;
    return this.byKey.get(key) ?? this.#add(key, { service: service as string });
  }

  #add(key: string, given: Omit<NonNullable<GatewayConfig["clusters"]>[number], "name">): CompiledCluster {
    const { connectMs, headersMs, idleMs } = { ...GATEWAY_DEFAULTS, ...given.timeouts };
    const inFlightMax = part(given.inFlightMax ?? GATEWAY_DEFAULTS.inFlightMax, this.#workers);
    const tls = given.tls ?? {};
    const namespace = given.namespace ?? this.#namespace;
    const service = given.service ?? key.slice("cluster:".length);
    const resilience = compileResilience(given, this.#workers);
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
      ...resilience,
      connectionKey: canonicalJson([key, tls, { ...resilience.breaker }]),
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
  const balance = given.balance ?? "p2c";
  return {
    balance,
    hashBy: BALANCES[balance].usesHashBy ? (given.hashBy ?? "ip") : undefined,
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

export interface OutlierPolicy {
  /** Gateway errors in a row that eject; 0: they never do. */
  readonly consecutiveErrors: number;
  /** Milliseconds of the first ejection; the n-th lasts n times as long. */
  readonly ejectionMs: number;
  /** Of the endpoints, that may be ejected at once; one always may. */
  readonly ejectedPercentMax: number;
  /** Whether success rates are compared. */
  readonly successRate: boolean;
}
