/**
 * The name and the attributes of the span of a request to one of posthouse's own servers.
 * @see OpenTelemetry semantic conventions for HTTP spans (stable)
 */
import type { FastifyRequest } from "fastify";
import { bareHost, type Span } from "#base";

/** Characters of a path that a span shows. Longer ones are cut, since a client chooses them. */
const PATH_CHARS_MAX = 2_048;

/** `GET /v1/services/:service`; the method alone without a route. */
export function spanName({ method, routeOptions: { url } }: FastifyRequest): string {
  return url === undefined ? method : `${method} ${url}`;
}

/** Queries are left out: those of this API name what the path does not, and may come from a mistyped secret. */
export function setSpanAttributes(span: Span, request: FastifyRequest): void {
  const { url } = request.routeOptions;
  span.set("http.request.method", request.method);
  if (url !== undefined) span.set("http.route", url);
  span.set("url.scheme", request.protocol);
  span.set("url.path", (request.url.split("?", 1)[0] as string).slice(0, PATH_CHARS_MAX));
  span.set("network.protocol.version", request.raw.httpVersion === "2.0" ? "2" : request.raw.httpVersion);
  span.set("client.address", request.ip);
  span.set("server.address", bareHost(request.hostname));
  if (typeof request.port === "number") span.set("server.port", request.port);
}
