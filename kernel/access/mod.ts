/** Who may call the control API: tokens, issued, listed, revoked and checked. */
export { Access } from "./access.ts";
export * from "./api.ts";
export { Sessions } from "./sessions.ts";
export { accessPlugin } from "./plugin.ts";
