/** Limits that gateways share, over the store: a rate or a count of a day or month, handed out in leases. */
export * from "./api.ts";
export { Quotas } from "./quotas.ts";
export { quotasPlugin } from "./plugin.ts";
