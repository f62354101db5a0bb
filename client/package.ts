/** The package `posthouse/client` for services: `connect` with its types, and the client beneath it for everything else. */
export { AppError, type Host, type Log } from "#base";
export { ConfigErrors } from "#config-server/api";
export type { ConfigState } from "./config-feed.ts";
export type { Change, ConfigReader, FollowOptions } from "./config.ts";
export { ConfigSnapshot, type ReadOptions, type ValueIssue, type ValueOf } from "./config-value.ts";
export { clientHost, connect, type ConnectOptions, type Posthouse } from "./connect.ts";
export { SESSION_SECONDS, type KeptSession, type SessionOptions } from "./session.ts";
export * from "./mod.ts";
