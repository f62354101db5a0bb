/**
 * The public face of the balancing core, `#gateway/balancing`: the Node client chooses endpoints by the same rules as the gateway. Pure:
 * the caller passes time and chance.
 */
export { isDead, pick } from "./balancer.ts";
export { ClusterTable, type CompiledCluster } from "./cluster.ts";
export { isSilent, noteAnswer, noteReached, noteRefused, noteSilent, probeMs } from "./endpoint-load.ts";
export { NO_ENDPOINTS, type Endpoint, type EndpointSet } from "./endpoints.ts";
export type { CatalogInstance } from "./instance.ts";
export { nextEndpoints } from "./next-endpoints.ts";
export { noteOutcome } from "./outlier.ts";
export {
  ATTEMPT_HEADER,
  backoffMs,
  chooseRetry,
  isRefusal,
  isRepeatable,
  NO_RETRY,
  RetryBudget,
  type FailedCall,
  type RetryChoice,
  type RetryPolicy,
} from "./retry.ts";
