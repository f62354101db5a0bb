/** How health is judged, once, for registry and agent. */
export * from "./core/state.ts";
export * from "./probes.ts";
export * from "./runner.ts";
