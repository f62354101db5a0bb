/** The config server: what services are told, release by release. */
export { Acknowledgements } from "./acknowledgements.ts";
export * from "./api.ts";
export { ConfigServer } from "./config-server.ts";
export { configPlugin } from "./plugin.ts";
export { Proposals } from "./proposals.ts";
export { proposalsPlugin } from "./proposals-plugin.ts";
export { type HealthSource, Rollouts } from "./rollouts.ts";
export { rolloutsPlugin } from "./rollouts-plugin.ts";
export { Subscribers } from "./subscribers.ts";
