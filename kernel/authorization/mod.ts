/** Authorization: actions, policies and the rights that they compile to. Pure. */
export { type Extent, OWN_APP } from "./action-rules.ts";
export * from "./contract/actions.ts";
export * from "./api.ts";
export * from "./built-in-policies.ts";
export { matchesGlob } from "./contract/glob.ts";
export * from "./policy-book.ts";
export * from "./rights.ts";
