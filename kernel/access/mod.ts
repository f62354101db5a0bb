/** Tokens of the control API: issued, listed, revoked and checked. Sign-ins of browsers. Sessions and their owners. */
export { Access } from "./access.ts";
export * from "./api.ts";
export { Sessions } from "./sessions.ts";
export { accessPlugin } from "./plugin.ts";
export { serviceTokenPlugin } from "./service-token-plugin.ts";
export { signInPath, signInPlugin } from "./sign-in-plugin.ts";
