/** The vocabulary of all modules. Imports no other module. */
export * from "./errors.ts";
export * from "./format-names.ts";
export * from "./hash.ts";
export * from "./host-address.ts";
export * from "./chance.ts";
export * from "./host.ts";
export * from "./invariant.ts";
export * from "./json.ts";
export { LOG_FORMATS, type LogFormat } from "./log.ts";
export * from "./metrics.ts";
export * from "./own.ts";
export * from "./random.ts";
export * from "./schema-problems.ts";
export * from "./sorted.ts";
export * from "./tasks.ts";
export * from "./trace.ts";
export * from "./unicode.ts";
export * from "./waiters.ts";
