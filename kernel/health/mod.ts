/** How health is judged, once, for registry and agent. */
export * from "./core/damping.ts";
export { patternMatches, statusExpected } from "./core/match.ts";
export * from "./core/schedule.ts";
export * from "./core/state.ts";
export * from "./core/targets.ts";
export * from "./history.ts";
export { pidIn } from "./probe-local.ts";
export * from "./probes.ts";
export {
  createReach,
  HealthErrors,
  LINK_LOCAL_NETWORKS,
  OWN_HOST_RULES,
  type Reach,
  type ReachRules,
} from "./reach.ts";
export { notMade, PROBE_BODY_BYTES_MAX, PROBE_OUTPUT_CHARS_MAX, type ProbeResult } from "./result.ts";
export * from "./runner.ts";
