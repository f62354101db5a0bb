/** The package `posthouse/client` for services: `connect` with its types, and the client beneath it for everything else. */
export { AppError, type Host, type Log } from "#base";
export { ConfigErrors } from "#config-server/api";
export type { ConfigState } from "./config-feed.ts";
export type { Change, ConfigReader, FollowOptions } from "./config.ts";
export { ConfigSnapshot, type ReadOptions, type ValueIssue, type ValueOf } from "./config-value.ts";
export { clientHost, connect, createClient, type ConnectOptions, type Posthouse } from "./connect.ts";
export { CLIENT_VARIABLES } from "./environment.ts";
export type { ServiceCallOptions } from "./fetch/call-options.ts";
export type { ServiceTls } from "./fetch/service-dispatcher.ts";
export type { ServiceFetch, ServiceFetchInit } from "./fetch/service-fetch.ts";
export { withTraceOf, type IncomingHeaders } from "./fetch/trace-context.ts";
export type { FlagContext, FlagDetails, FlagReader } from "./flag-reader.ts";
export type { LockKeeper } from "./lock-keeper.ts";
export type { ListeningServer } from "./registration/own-address.ts";
export type { DrainOutcome, RegisterOptions, ServiceRegistration } from "./registration/registration.ts";
export type { ReportedCheck } from "./registration/reported-checks.ts";
export { SESSION_SECONDS, type KeptSession, type SessionOptions } from "./session.ts";
export * from "./mod.ts";
