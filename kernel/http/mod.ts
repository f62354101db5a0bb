/** The HTTP kit: a server with strict limits, problems for errors, authorization, watches, and routes for operators. */
export * from "./auth.ts";
export * from "./principal.ts";
export * from "./bad-tokens.ts";
export { BODY_BYTES } from "./body.ts";
export * from "./caller.ts";
export * from "./close.ts";
export * from "./frames.ts";
export * from "./if-none-match.ts";
export * from "./limits.ts";
export * from "./long-poll.ts";
export * from "./loopback.ts";
export * from "./openapi.ts";
export * from "./pages.ts";
export * from "./operations.ts";
export * from "./problem.ts";
export * from "./server.ts";
export * from "./watch/hub.ts";
export * from "./watch/subscription.ts";
