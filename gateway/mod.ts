/** The data plane: routes from releases, endpoints from the registry, requests from clients to services. */
export * from "./api.ts";
export { createGateway } from "./gateway.ts";
export type { BuiltFilter, Filter, FilterPass, FilterRefusal, FilterRequest, Filters } from "./core/request/filter.ts";
export { builtInFilters } from "./filters/mod.ts";
export { gatewayConfigSchema } from "./config-schema.ts";
export { loadFilters } from "./filter-modules.ts";
export { readStickyKey } from "./answers/sticky.ts";
export { gatewayReleaseCheck, gatewayReleaseCheckWith, parseGatewayConfig } from "./config-text.ts";
export type { GatewayPeers } from "./peers.ts";
export { mergeViews } from "./core/decision/cluster-view.ts";
export { PeerRecord, type PeerNews } from "./core/limits/peer-messages.ts";
export * from "./settings.ts";
export { noControlPlane } from "./sources/no-control-plane.ts";
