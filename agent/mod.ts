/** The agent: the hand of the control plane on each host. */
export * from "./api.ts";
export { type AgentListeners, createAgent, type RunningAgent } from "./create.ts";
export { localTokenPath } from "./local-tokens.ts";
export * from "./settings.ts";
export type { ControlPlane } from "./caches.ts";
