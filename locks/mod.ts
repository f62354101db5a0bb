/** Locks and leader election on sessions: one holder at a time, a queue in order, and a token for each acquisition. */
export * from "./api.ts";
export { Locks } from "./locks.ts";
export { locksPlugin } from "./plugin.ts";
