/** Live traffic: what gateways and clients report, and the last hour of it by route and by edge. */
export * from "./api.ts";
export { trafficPlugin } from "./plugin.ts";
export { Traffic } from "./traffic.ts";
