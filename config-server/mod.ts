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
export { sourcesPlugin } from "./sources/plugin.ts";
export type { SourceSettings } from "./sources/snapshot.ts";
export { Sources } from "./sources/sources.ts";
export { Transfer } from "./transfer.ts";
export { transferPlugin } from "./transfer-plugin.ts";
