/** The config server: what services are told, release by release. */
export { Acknowledgements } from "./acknowledgements.ts";
export * from "./api.ts";
export { Audit } from "./audit.ts";
export { ConfigServer } from "./config-server.ts";
export { keyCommand, keyFile, type KeySource, ownKeyFile } from "./key-sources.ts";
export { Orphans } from "./orphans.ts";
export { configPlugin } from "./plugin.ts";
export { Proposals } from "./proposals.ts";
export { proposalsPlugin } from "./proposals-plugin.ts";
export { sourcesPlugin } from "./sources/plugin.ts";
export type { SourceSettings } from "./sources/snapshot.ts";
export { Sources } from "./sources/sources.ts";
export { Transfer } from "./transfer.ts";
export { transferPlugin } from "./transfer-plugin.ts";
export { REWRAP_GRACE_MS, Rewrapper } from "./rewrap.ts";
export { keyLine, SecretKeys } from "./secret-keys.ts";
export { secretsPlugin } from "./secrets-plugin.ts";
