/** Identity: the certificate authority of the control plane, its rotations, and the nodes that join it. */
export * from "./api.ts";
export * from "./authority.ts";
export * from "./core/mod.ts";
export * from "./joins.ts";
export * from "./own-material.ts";
export * from "./plugin.ts";
export * from "./rotation.ts";
export type { Sealer } from "./sealer.ts";
export type { NodeRecord } from "./state.ts";
