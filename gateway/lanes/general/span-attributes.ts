/**
 * Attributes of a request's spans. A test compares their names with the published ones.
 * @see OpenTelemetry semantic conventions for HTTP spans (stable) and RPC attributes
 */
import { bareHost, type Span } from "#base";
import type { Endpoint } from "../../core/balancing/endpoints.ts";
import type { PathPattern } from "../../core/paths/path-pattern.ts";
import { grpcStatusName } from "../../core/request/grpc.ts";
import { isBadHead, type BadHead, type RawHead, type RequestHead } from "../../core/request/head.ts";
import type { OutgoingRequest } from "../../upstream/transfer.ts";

/** Replaces each value of a query, which may be a secret. */
const REDACTED = "REDACTED";
/** Characters of a path or a query that a span shows. Longer ones are cut, since a client chooses them. */
const URL_CHARS_MAX = 2_048;

/** The template that a route matches; undefined: it has none, as a regular expression is not one. */
export function routeTemplate(path: PathPattern | undefined): string | undefined {
  if (path === undefined || path.kind === "regex") return undefined;
  return path.kind === "prefix" ? `${path.value.replace(/\/$/, "")}/*` : path.value;
}

/** The facts of the client's request. */
export function setRequestAttributes(span: Span, raw: RawHead, head: RequestHead | BadHead): void {
  span.set("network.protocol.version", raw.version);
  span.set("network.peer.address", raw.peer);
  span.set("url.scheme", raw.scheme);
  if (isBadHead(head)) return span.set("url.path", "");
  span.set("url.path", head.path.slice(0, URL_CHARS_MAX));
  if (head.query.length > 1) span.set("url.query", shownQuery(head.query.slice(1)));
  span.set("client.address", head.client);
  span.set("server.address", bareHost(head.host));
  span.set("server.port", portOf(head.authority) ?? (head.scheme === "https" ? 443 : 80));
  const [agent] = head.header("user-agent");
  if (agent !== undefined) span.set("user_agent.original", agent.slice(0, URL_CHARS_MAX));
}

/** The facts of one try. `attempt` counts from 1. */
export function setTryAttributes(
  span: Span,
  given: { request: OutgoingRequest; endpoint: Endpoint; attempt: number },
): void {
  const { request, endpoint, attempt } = given;
  const [path = "", query] = request.path.split("?", 2);
  const shown = query === undefined || query === "" ? path : `${path}?${shownQuery(query)}`;
  span.set("url.full", `${endpoint.origin}${shown}`.slice(0, URL_CHARS_MAX));
  span.set("server.address", bareHost(endpoint.hostname));
  span.set("server.port", endpoint.port);
  span.set("network.protocol.version", endpoint.protocol === "http1" ? "1.1" : "2");
  if (attempt > 1) span.set("http.request.resend_count", attempt - 1);
}

/** The outcome of a gRPC call, by name. */
export function setGrpcAttributes(span: Span, status: string): void {
  span.set("rpc.system.name", "grpc");
  span.set("rpc.status_code", grpcStatusName(status));
}

function shownQuery(query: string): string {
  const parts = query.slice(0, URL_CHARS_MAX).split("&");
  return parts
    .map((part) => (part.includes("=") ? `${part.slice(0, part.indexOf("="))}=${REDACTED}` : REDACTED))
    .join("&");
}

function portOf(authority: string): number | undefined {
  const port = /:(\d{1,5})$/.exec(authority)?.[1];
  return port === undefined ? undefined : Number(port);
}
