/** A compiled cluster: where requests may go, and the settings that apply to all of them. */
import type { Static } from "typebox";
import { canonicalJson } from "#base";
import {
  BALANCES,
  GATEWAY_DEFAULTS,
  type Balance,
  type ClusterConfig,
  type ClusterProtocol,
  type GatewayConfig,
  type Mesh,
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

/** Limits of a whole cluster at one time. */
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
  /** The instances of the config; undefined: the registry's. */
  readonly instances: readonly CatalogInstance[] | undefined;
  /** Name of the instances' port; undefined: their main one. */
  readonly port: string | undefined;
  readonly tls: ClusterTls;
  /** The protocol of its endpoints; undefined: the one that each of them registered. */
  readonly protocol: ClusterProtocol | undefined;
  /** Whether requests go to the ingress of an instance's sidecar. */
  readonly mesh: Mesh;
  readonly connectMs: number;
  readonly headersMs: number;
  readonly idleMs: number;
  readonly inFlightMax: number;
  readonly balance: Balance;
  /** The part of a request that the balancing policy hashes; undefined: it hashes nothing. */
  readonly hashBy: ClusterConfig["hashBy"];
  readonly subset: readonly (readonly [label: string, value: string])[];
  readonly zoneAware: boolean;
  readonly slowStartMs: number;
  readonly panicPercent: number;
  readonly outlier: OutlierPolicy;
  readonly breaker: BreakerPolicy;
  readonly adaptive: GradientPolicy | undefined;
  /**
   * Equal keys mean that connections may be kept from one table to the next. Two clusters never share a key, since each
   * has its own breaker and its own knowledge of endpoints.
   */
  readonly connectionKey: string;
}

/** The clusters of one table: those of the config, and one for each service that a route names directly. */
export class ClusterTable {
  readonly byKey = new Map<string, CompiledCluster>();
  readonly #namespace: string;
  readonly #workers: number;

  /** `workers`: the number of the gateway's processes, which share some of a cluster's limits. */
  constructor(config: GatewayConfig, namespace: string, workers: number) {
    this.#namespace = namespace;
    this.#workers = workers;
    for (const { name, ...cluster } of config.clusters ?? []) this.#add(`cluster:${name}`, cluster);
  }

  /** The cluster of a name, or the one of a service. */
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
      mesh: given.mesh ?? "auto",
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
 * One worker's part of a limit per endpoint or of connections. Workers do not report these to each other as they do with
 * requests: this worker cannot use a connection that another keeps idle, and must not be left without one because of it.
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
  /** Consecutive gateway errors that eject an endpoint; 0: never. */
  readonly consecutiveErrors: number;
  /** Milliseconds of the first ejection; the n-th lasts n times as long. */
  readonly ejectionMs: number;
  /** Percentage of the endpoints that may be ejected at once; one endpoint always may. */
  readonly ejectedPercentMax: number;
  /** Whether success rates are compared. */
  readonly successRate: boolean;
}
