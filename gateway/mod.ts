/** The data plane: routes from releases, endpoints from the registry, requests from clients to services. */
export * from "./api.ts";
export { createGateway } from "./gateway.ts";
export { gatewayReleaseCheck, parseGatewayConfig } from "./release.ts";
export * from "./settings.ts";
