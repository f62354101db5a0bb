/** The agent: it runs on each host, registers its services, runs their checks, and writes config files. */
export * from "./api.ts";
export { type AgentListeners, type AgentParts, createAgent, type RunningAgent } from "./create.ts";
export { AgentIdentity, openAgentIdentity } from "./identity/agent-identity.ts";
export { joinControlPlane, type Joined, type JoinOptions } from "./identity/join.ts";
export { ServiceCertificates } from "./identity/service-certificates.ts";
export { localTokenPath } from "./local-tokens.ts";
export * from "./settings.ts";
export type { ControlPlane } from "./caches.ts";
export type { ControlWay } from "./forwarding/forwarding.ts";
