/** Tokens of the control API: issued, listed, revoked and checked. Sign-ins of browsers, people and devices. Sessions and their owners. */
export { Access } from "./access.ts";
export * from "./api.ts";
export { Sessions } from "./sessions.ts";
export { type AccessNode, type AccessNodes, type PeerIdentity } from "./node-principals.ts";
export { accessPlugin } from "./plugin.ts";
export { DeviceLogins } from "./device/device-logins.ts";
export { devicePlugin } from "./device/plugin.ts";
export { OidcSignIn } from "./oidc/oidc-sign-in.ts";
export { oidcPlugin } from "./oidc/plugin.ts";
export { OidcProvider, type OidcSettings } from "./oidc/provider.ts";
export { StateSeal } from "./oidc/sealed-state.ts";
export { serviceTokenPlugin } from "./service-token-plugin.ts";
export { signInPath, signInPlugin } from "./sign-in-plugin.ts";
