/** Feature flags: released as config, evaluated over OFREP. */
export * from "./core/mod.ts";
export { flagDocumentRoute } from "./document-route.ts";
export { flagsPlugin, type FlagSource } from "./plugin.ts";
export { flagsReleaseCheck } from "./release.ts";
