/** Limits that gateways share through the store: a rate, or a count per day or month, granted in leases. */
export * from "./api.ts";
export { Quotas } from "./quotas.ts";
export { quotasPlugin } from "./plugin.ts";
