/** Options of calls to services, and how they become clusters of the balancing core. */
import { Check as matches } from "typebox/value";
import { ClusterTable, NO_RETRY, type CompiledCluster, type RetryPolicy } from "#gateway/balancing";
import { ClusterConfig } from "#gateway/api";
import { ClientErrors } from "../errors.ts";

/** Settings of calls to one service. All but `retries` are those of a gateway's cluster, with the same defaults. */
export interface ServiceCallOptions extends Pick<
  ClusterConfig,
  "port" | "inFlightMax" | "subset" | "zoneAware" | "slowStartSeconds" | "panicPercent" | "outlier"
> {
  /** How an instance is chosen. @default "p2c" */
  readonly balance?: "p2c" | "round-robin" | "least-requests" | "random" | undefined;
  /** Further attempts at other instances, after refused connections and, for repeatable requests, broken ones. @default 2 */
  readonly retries?: number | undefined;
}

/** Further attempts: one more than a gateway makes, since the client has no other way around a failing instance. */
const RETRIES = 2;
const RETRIES_MAX = 10;
const RETRY_ON: RetryPolicy["on"] = new Set(["connect", "reset"]);

export interface CallRules {
  readonly cluster: CompiledCluster;
  readonly retry: RetryPolicy;
}

/** The rules for calls to a service. @throws CLIENT_OPTION_INVALID */
export function callRules(
  { namespace, service }: { namespace: string; service: string },
  options: ServiceCallOptions = {},
): CallRules {
  const { retries = RETRIES, ...given } = options;
  const config = { name: service, service, namespace, ...withoutUndefined(given) };
  const isCount = Number.isInteger(retries) && retries >= 0 && retries <= RETRIES_MAX;
  if (!isCount || !matches(ClusterConfig, config))
    throw ClientErrors.OPTION_INVALID(
      `Option services.${service}: ${JSON.stringify(options)} are not valid settings of calls. See the guide of the Node client.`,
      { extra: { field: `services.${service}` } },
    );
  const cluster = new ClusterTable({ routes: [], clusters: [config] }, namespace, 1).of({ cluster: service });
  return { cluster, retry: retries === 0 ? NO_RETRY : { ...NO_RETRY, attempts: retries, on: RETRY_ON } };
}

function withoutUndefined<T extends object>(given: T): T {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as T;
}
