/** The public face of the client. */
export { isMasked } from "#config-server/api";
export {
  CALL_TIMEOUT_MS,
  RELEASE_TIMEOUT_MS,
  TRANSFER_TIMEOUT_MS,
  type CallOptions,
  type ClientOptions,
  type StreamOptions,
} from "./calls/caller.ts";
export type { Instance } from "./calls/config.ts";
export type { DiscoveryQuery, InstanceName } from "./calls/registry.ts";
export { workloadCalls, type WorkloadCalls } from "./calls/workload.ts";
export { carry, type CarriedAnswer } from "./carry.ts";
export { Client } from "./client.ts";
export { catalogFold, type Catalog, type CatalogDelta } from "./core/catalog.ts";
export { FoldedWatch, type Fold } from "./core/fold.ts";
export * from "./errors.ts";
export { LOCK_SESSION_SECONDS, type HeldLock, type LockOptions } from "./lock.ts";
export type { ControlTls } from "./server-trust.ts";
export { STREAM_SILENCE_MS_MAX } from "./stream.ts";
export * from "./transport.ts";
export * from "./transports.ts";
export { FailoverTransport, type MemberTransport } from "./failover.ts";
