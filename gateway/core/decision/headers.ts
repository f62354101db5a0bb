/**
 * The headers that the gateway forwards. Hop-by-hop headers are removed in both directions. Only the gateway describes the
 * client and its connection, so the client's own statements about these are dropped.
 */
import { CLIENT_CERTIFICATE_HEADER } from "../callers/certificates.ts";
import { clientOrigin, schemeSeen } from "../request/client-address.ts";
import { setsConsoleCookie, withoutConsoleCookie } from "../request/console-cookie.ts";
import { parseAuthority, type RequestHead } from "../request/head.ts";
import type { RenderedEdits } from "../rewriting/header-edits.ts";
import type { HeaderPair } from "../request/header-list.ts";
import { ATTEMPT_HEADER } from "../balancing/retry.ts";
import type { RouteTable } from "../routing/table.ts";

/** Headers of one connection, not of the message. @see RFC 9110 §7.6.1; includes those of older programs */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authorization",
  "proxy-authenticate",
  "proxy-authentication-info",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/** Set by the gateway on every request. */
const REBUILT = new Set(["host", "expect", "content-length", "forwarded", "traceparent", "tracestate", "x-real-ip"]);

/**
 * Headers in which proxies describe a client: its address, its certificate, the original URL. Services may trust them, so
 * they are forwarded from trusted proxies only. `Proxy` becomes `HTTP_PROXY` in CGI.
 */
const CLAIMS = new Set([
  "proxy",
  "x-original-url",
  "x-original-uri",
  "x-original-host",
  "x-rewrite-url",
  "x-original-forwarded-for",
  "cf-connecting-ip",
  "cf-connecting-ipv6",
  "cf-pseudo-ipv4",
  "cf-ipcountry",
  "true-client-ip",
  "fastly-client-ip",
  "x-client-ip",
  "x-cluster-client-ip",
  "x-azure-clientip",
  "x-azure-socketip",
  "x-appengine-user-ip",
  "x-client-cert",
  "x-arr-clientcert",
  "client-cert",
  "client-cert-chain",
  "x-amzn-mtls-clientcert",
  "x-ssl-cert",
  "x-remote-user",
  "remote-user",
  "x-remote-addr",
  "x-original-remote-addr",
  "x-envoy-external-address",
]);
const CLAIM_PREFIXES = ["x-client-cert-", "x-ssl-client-", "ssl-client-", "x-amzn-mtls-", "x-ms-client-principal"];

function isClaim(lower: string): boolean {
  return CLAIMS.has(lower) || CLAIM_PREFIXES.some((prefix) => lower.startsWith(prefix));
}

/** Prefixes of headers that identify callers. They are dropped from clients, whether or not the route sets them. */
const OWN_PREFIXES = ["x-forwarded-", "x-posthouse-", "x-consumer-", "x-jwt-"];

/**
 * Whether only the connection or the gateway may set a request header; the name in lower case. A client's `X-Real-IP` is
 * dropped, but the gateway does not set it, so that a route may do so for services that read only this header.
 */
export function isGatewayOwn(name: string): boolean {
  if (name === "x-real-ip") return false;
  return HOP_BY_HOP.has(name) || REBUILT.has(name) || OWN_PREFIXES.some((prefix) => name.startsWith(prefix));
}

/** The same for an answer header. */
export function isAnswerOwn(name: string): boolean {
  return HOP_BY_HOP.has(name) || name === "content-length" || name.startsWith("x-posthouse-");
}

/** The usual values of `Connection`, which list no header. */
const PLAIN_CONNECTION = new Set(["keep-alive", "close", "Keep-Alive", "Close"]);

/** The headers that `Connection` lists, in lower case; undefined: none. */
export function connectionNames(values: readonly string[]): ReadonlySet<string> | undefined {
  if (values.length === 0 || (values.length === 1 && PLAIN_CONNECTION.has(values[0] as string))) return undefined;
  const names = new Set<string>();
  for (const value of values) {
    for (const name of value.split(",")) names.add(name.trim().toLowerCase());
  }
  return names;
}

/**
 * The request's headers for the upstream, as name, value, name, value, without those of framing, which the connection
 * adds. Headers are removed first and the gateway's own are added afterwards, so `Connection: x-user` cannot remove an
 * added header. Names with an underscore are dropped, since CGI and many frameworks read `x_user` as `x-user`.
 */
export function upstreamHeaders(
  head: RequestHead,
  rawHeaders: readonly string[],
  options: {
    table: Pick<RouteTable, "ownHeaders"> & { trusted?: RouteTable["trusted"] };
    edits?: RenderedEdits | undefined;
    /** The HTTP version of the request: `1.1`. */
    version: string;
    /** Whether the request has a body, after which trailers may follow. */
    hasBody?: boolean;
    /** Names, in lower case, that only `set` may contain. Values of the client or the route are dropped. */
    deadline?: readonly string[] | undefined;
    set: readonly HeaderPair[];
  },
): string[] {
  const { edits, deadline } = options;
  const named = connectionNames(head.header("connection"));
  const fromProxy = options.table.trusted?.has(head.peer) === true;
  const headers: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.has(lower) || REBUILT.has(lower) || lower.includes("_") || named?.has(lower)) {
      if (lower !== "trailer" || !options.hasBody || named?.has(lower)) continue;
      const announced = announcedTrailers(rawHeaders[i + 1] as string, refusedTrailer(head, options));
      if (announced !== undefined) headers.push(name, announced);
      continue;
    }
    if (isClaim(lower) && (!fromProxy || lower === "proxy")) continue;
    if (options.table.ownHeaders.has(lower) || edits?.drop.has(lower)) continue;
    if (deadline?.includes(lower)) continue;
    // A client may set the number of the attempt: all it does is to prevent retries of its own request.
    if (isOwn(lower) && (lower !== ATTEMPT_HEADER || options.set.some(([own]) => own === lower))) continue;
    const value = rawHeaders[i + 1] as string;
    const passed = lower === "cookie" ? withoutConsoleCookie(value) : value;
    if (passed !== undefined) headers.push(name, passed);
  }
  // Addresses that trusted proxies report stay in the list; earlier ones are dropped.
  const { chain } = clientOrigin(head.peer, head.header("x-forwarded-for"), options.table.trusted);
  const scheme = schemeSeen(head, options.table.trusted);
  const hops = [...chain, head.peer];
  const host = hostSeen(head, options.table.trusted);
  headers.push(
    "x-forwarded-for",
    hops.join(", "),
    "x-forwarded-proto",
    scheme,
    "x-forwarded-host",
    host,
    "forwarded",
    forwardedElements(hops, { scheme, host }, { scheme: head.scheme, host: head.authority }),
    "via",
    `${options.version} posthouse`,
  );
  if (head.clientCertificate !== undefined) headers.push(CLIENT_CERTIFICATE_HEADER, head.clientCertificate);
  for (const [name, value] of edits?.put ?? []) if (!deadline?.includes(name)) headers.push(name, value);
  for (const [name, value] of options.set) headers.push(name, value);
  return headers;
}

interface RequestedUrl {
  readonly scheme: string;
  readonly host: string;
}

/** Each element describes one hop: the first has the URL of the client, the last that of this request. @see RFC 7239 §4 */
function forwardedElements(hops: readonly string[], client: RequestedUrl, here: RequestedUrl): string {
  return hops
    .map((hop, at) => {
      const asked = at === 0 ? client : at === hops.length - 1 ? here : undefined;
      return `for=${forwardedNode(hop)}${asked ? `;proto=${asked.scheme};host="${asked.host}"` : ""}`;
    })
    .join(", ");
}

/** The host that the client requested, as a trusted proxy reports it; else the request's. */
function hostSeen(head: RequestHead, trusted: RouteTable["trusted"] | undefined): string {
  if (!trusted?.has(head.peer)) return head.authority;
  const [said, ...more] = head.header("x-forwarded-host");
  return more.length === 0 && said !== undefined && parseAuthority(said) ? said : head.authority;
}

function isOwn(lower: string): boolean {
  return lower.startsWith("x-") && OWN_PREFIXES.some((prefix) => lower.startsWith(prefix));
}

/** An IPv6 address needs brackets and quotes. @see RFC 7239 §6 */
function forwardedNode(peer: string): string {
  return peer.includes(":") ? `"[${peer}]"` : peer;
}

/**
 * The answer's headers for the client, as name, value, name, value, without those of the connection and those that only
 * the gateway may set. The headers in `set` replace headers of the same name.
 */
export function answerHeaders(headers: readonly string[], set: readonly HeaderPair[]): string[] {
  let named: ReadonlySet<string> | undefined;
  for (let i = 0; i < headers.length; i += 2) {
    if ((headers[i] as string).length !== 10 || (headers[i] as string).toLowerCase() !== "connection") continue;
    const more = connectionNames([headers[i + 1] as string]);
    if (more) named = named ? named.union(more) : more;
  }
  const kept: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string;
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.has(lower) || lower === "x-posthouse-flag" || named?.has(lower)) {
      if (lower !== "trailer" || named?.has(lower)) continue;
      const announced = announcedTrailers(headers[i + 1] as string, undefined);
      if (announced !== undefined) kept.push(name, announced);
      continue;
    }
    if (set.some(([own]) => own === lower)) continue;
    if (lower === "set-cookie" && setsConsoleCookie(headers[i + 1] as string)) continue;
    kept.push(name, headers[i + 1] as string);
  }
  for (const [name, value] of set) kept.push(name, value);
  return kept;
}

/** Names that the trailers of this request must not have, besides those that no request may have. */
export function refusedTrailer(
  head: RequestHead,
  {
    table,
    edits,
    deadline,
  }: {
    table: Pick<RouteTable, "ownHeaders">;
    edits?: RenderedEdits | undefined;
    deadline?: readonly string[] | undefined;
  },
): RefusedTrailer {
  const named = connectionNames(head.header("connection"));
  return (name) =>
    table.ownHeaders.has(name) ||
    (edits?.drop.has(name) ?? false) ||
    (deadline?.includes(name) ?? false) ||
    (named?.has(name) ?? false);
}

/**
 * Fields that are valid only before a body: of framing, routing, authentication, conditions and control. As trailers they
 * could be misread. @see RFC 9110 §6.5.1
 */
const NOT_IN_TRAILERS = new Set([
  "authorization",
  "cache-control",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "cookie",
  "expect",
  "host",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "location",
  "max-forwards",
  "pragma",
  "range",
  "set-cookie",
  "vary",
  "www-authenticate",
]);

/** Whether a request must not have a trailer, since it must not have a header of that name. The name is in lower case. */
export type RefusedTrailer = (name: string) => boolean;

/** Whether a trailer is forwarded. `refused`: given for requests. */
function isForwardedTrailer(lower: string, refused: RefusedTrailer | undefined): boolean {
  if (HOP_BY_HOP.has(lower) || NOT_IN_TRAILERS.has(lower) || lower.startsWith(":") || isOwn(lower)) return false;
  return !refused || !(REBUILT.has(lower) || isClaim(lower) || lower.includes("_") || refused(lower));
}

/** The trailers that are forwarded, in either direction. Those of a request follow the rules of its headers. */
export function trailersToPass(trailers: readonly string[], refused?: RefusedTrailer): readonly string[] {
  if (trailers.length === 0) return trailers;
  const kept: string[] = [];
  for (let i = 0; i < trailers.length; i += 2) {
    const name = trailers[i] as string;
    if (isForwardedTrailer(name.toLowerCase(), refused)) kept.push(name, trailers[i + 1] as string);
  }
  return kept;
}

/** The field `Trailer` with the names that are forwarded; undefined: none. Some servers read only announced trailers. */
function announcedTrailers(value: string, refused: RefusedTrailer | undefined): string | undefined {
  const names = value.split(",").map((name) => name.trim());
  const kept = names.filter((name) => name !== "" && isForwardedTrailer(name.toLowerCase(), refused));
  return kept.length > 0 ? kept.join(", ") : undefined;
}
