/** Health checks for registry and agent: probes, and the judgment of their results. */
export * from "./core/damping.ts";
export { patternMatches, statusExpected } from "./core/match.ts";
export * from "./core/schedule.ts";
export * from "./core/state.ts";
export * from "./definition.ts";
export * from "./history.ts";
export { HealthErrors, LINK_LOCAL_NETWORKS } from "./network.ts";
export * from "./probe.ts";
export type { AliasedInstance, ProbeMemory } from "./probes/kind.ts";
export type { HttpTarget } from "./probes/http.ts";
export type { Target } from "./probes/kinds.ts";
export { pidIn } from "./probes/process.ts";
export { createReach, OWN_HOST_RULES, type Reach, type ReachRules } from "./reach.ts";
export { notMade, PROBE_BODY_BYTES_MAX, PROBE_OUTPUT_CHARS_MAX, type ProbeResult } from "./result.ts";
export * from "./runner.ts";
