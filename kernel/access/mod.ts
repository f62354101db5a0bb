/** Tokens of the control API: issued, listed, revoked and checked. Sessions and their owners. */
export { Access } from "./access.ts";
export * from "./api.ts";
export { Sessions } from "./sessions.ts";
export { accessPlugin } from "./plugin.ts";
