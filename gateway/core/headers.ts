/**
 * The headers that cross the gateway. Hop-by-hop ones stop here, both ways; who the client is and how it came is said
 * by the gateway alone, so whatever the client says about it is dropped.
 */
import { clientOrigin } from "./client-address.ts";
import type { RequestHead } from "./head.ts";
import type { RenderedEdits } from "./header-edits.ts";
import type { Forward } from "./decision.ts";
import type { HeaderPair } from "./refusal.ts";
import type { RouteTable } from "./table.ts";

/** Of one connection, not of the message. @see RFC 9110 §7.6.1, and what older programs send */
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

/** Names that say who somebody is. A client has no business sending them, whether or not its route sets them. */
const OWN_PREFIXES = ["x-forwarded-", "x-posthouse-", "x-consumer-", "x-jwt-"];

/**
 * Whether only the connection or the gateway may say this of a request; the name in lower case. A client's `X-Real-IP`
 * is dropped, but the gateway sets none, so that a route may: some services read nothing else.
 */
export function isGatewayOwn(name: string): boolean {
  if (name === "x-real-ip") return false;
  return HOP_BY_HOP.has(name) || REBUILT.has(name) || OWN_PREFIXES.some((prefix) => name.startsWith(prefix));
}

/** The same of an answer. */
export function isAnswerOwn(name: string): boolean {
  return HOP_BY_HOP.has(name) || name === "content-length" || name.startsWith("x-posthouse-");
}

/** Names that `Connection` lists, in lower case. */
export function connectionNames(values: readonly string[]): ReadonlySet<string> | undefined {
  if (values.length === 0) return undefined;
  const names = new Set<string>();
  for (const value of values) {
    for (const name of value.split(",")) names.add(name.trim().toLowerCase());
  }
  return names;
}

/**
 * The request's headers for the upstream, as name, value, name, value. First all that must go goes, then the gateway's
 * own are set: a `Connection: x-user` cannot take away what is added after. A name with an underscore is dropped, for
 * CGI and many frameworks read `x_user` and `x-user` as one.
 */
export function upstreamHeaders(
  head: RequestHead,
  rawHeaders: readonly string[],
  options: {
    table: Pick<RouteTable, "ownHeaders"> & { trusted?: RouteTable["trusted"] };
    authority: string;
    contentLength: string | undefined;
    edits?: RenderedEdits | undefined;
    set: readonly HeaderPair[];
  },
): string[] {
  const { edits } = options;
  const named = connectionNames(head.header("connection"));
  const headers: string[] = ["host", options.authority];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.has(lower) || REBUILT.has(lower) || lower.includes("_") || named?.has(lower)) continue;
    if (options.table.ownHeaders.has(lower) || OWN_PREFIXES.some((prefix) => lower.startsWith(prefix))) continue;
    if (edits?.drop.has(lower)) continue;
    headers.push(name, rawHeaders[i + 1] as string);
  }
  if (options.contentLength !== undefined) headers.push("content-length", options.contentLength);
  // Whom trusted proxies speak of stays in the list; whatever others wrote before is gone.
  const { chain } = clientOrigin(head.peer, head.header("x-forwarded-for"), options.table.trusted);
  const scheme = schemeSeen(head, options.table.trusted);
  const hops = [...chain, head.peer];
  headers.push(
    "x-forwarded-for",
    hops.join(", "),
    "x-forwarded-proto",
    scheme,
    "x-forwarded-host",
    head.authority,
    "forwarded",
    hops.map((hop) => `for=${forwardedNode(hop)}`).join(", ") + `;proto=${scheme};host="${head.authority}"`,
    "via",
    "1.1 posthouse",
  );
  for (const [name, value] of edits?.put ?? []) headers.push(name, value);
  for (const [name, value] of options.set) headers.push(name, value);
  return headers;
}

/** The scheme that the client used, as a trusted proxy says it; else the connection's. */
export function schemeSeen(head: RequestHead, trusted: RouteTable["trusted"] | undefined): "http" | "https" {
  if (!trusted?.has(head.peer)) return head.scheme;
  const [said] = head.header("x-forwarded-proto");
  return said === "http" || said === "https" ? said : head.scheme;
}

/** @see RFC 7239 §6: an IPv6 address stands in brackets and quotes. */
function forwardedNode(peer: string): string {
  return peer.includes(":") ? `"[${peer}]"` : peer;
}

/** What a refusal says beside its own headers once it was decided where the request should have gone. */
export function refusalHeaders(forward: Pick<Forward, "answerHeaders" | "cors"> | undefined): readonly HeaderPair[] {
  return forward ? [...forward.answerHeaders, ...(forward.cors ?? [])] : [];
}

export type AnswerHeaders = Record<string, string | string[] | undefined>;

/** The answer's headers for the client: none of the connection, none that only the gateway says. */
export function downstreamHeaders(headers: AnswerHeaders): Record<string, string | string[]> {
  const connection = headers["connection"];
  const named = connectionNames(connection === undefined ? [] : [connection].flat());
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase();
    if (value === undefined || HOP_BY_HOP.has(lower) || named?.has(lower) || lower === "x-posthouse-flag") continue;
    kept[lower] = value;
  }
  return kept;
}
