/**
 * What the cache may do with one request and one answer: http-cache-semantics speaks for RFC 9111, this file for what a
 * gateway asks beyond it, so that nobody's answer becomes somebody else's.
 */
import type CachePolicy from "http-cache-semantics";
import { headerValues } from "../core/head.ts";
import type { AnswerHeaders } from "../core/headers.ts";
import type { Forward } from "../core/pipeline.ts";
import type { UpstreamAnswer, UpstreamCall } from "../upstream/call.ts";
import { NO_SPAN } from "../upstream/no-span.ts";

/** As http-cache-semantics sees it; undefined when the cache has no business with it. */
export function requestOf({ request, target }: Forward, call: UpstreamCall): CachePolicy.HttpRequest | undefined {
  const { head } = request;
  if (call.method !== "GET" || call.body || head.header("range").length > 0 || head.header("upgrade").length > 0)
    return undefined;
  const raw = call.headers(call.forward.endpoint, NO_SPAN);
  const headers: Record<string, string> = {};
  for (let at = 0; at < raw.length; at += 2) {
    const name = (raw[at] as string).toLowerCase();
    headers[name] ??= headerValues(raw, name).join(", ");
  }
  // The Host that the service sees is the endpoint's, and differs with each.
  return { url: target, method: "GET", headers: { ...headers, host: head.authority } };
}

/** All that the gateway itself tells the service; as JSON, so that no part can pose as the next. */
export function keyOf({ route, request, target, setHeaders, edits, authority }: Forward, method: string): string {
  const { head, consumer } = request;
  return JSON.stringify([
    route.name,
    route.cluster.key,
    method,
    head.scheme,
    head.authority,
    authority ?? "",
    target,
    consumer?.name ?? "",
    setHeaders,
    edits?.put ?? [],
  ]);
}

/** Whether a request is of the variant that an answer was given to, fresh or not. */
export function sameVary(policy: CachePolicy, request: CachePolicy.HttpRequest): boolean {
  const vary = String(policy.responseHeaders()["vary"] ?? "");
  if (vary === "") return true;
  const before = (policy.toObject() as { reqh?: Record<string, string> | null }).reqh ?? {};
  return vary.split(",").every((name) => {
    const lower = name.trim().toLowerCase();
    return lower !== "*" && before[lower] === request.headers[lower];
  });
}

export function sameVariant(a: CachePolicy, b: CachePolicy): boolean {
  const headers = (b.toObject() as { reqh?: Record<string, string> | null }).reqh ?? {};
  return sameVary(a, { headers });
}

export function hasCondition({ headers }: CachePolicy.HttpRequest): boolean {
  return ["if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range"].some(
    (name) => headers[name] !== undefined,
  );
}

export function mayKeep(
  policy: CachePolicy,
  request: CachePolicy.HttpRequest,
  { status, headers }: UpstreamAnswer,
): boolean {
  if (!policy.storable() || status === 304 || status === 206) return false;
  if (headers["set-cookie"] !== undefined || String(headers["vary"] ?? "").includes("*")) return false;
  // What a cookie may have made personal is kept only when the service says that it is for all.
  const control = String(headers["cache-control"] ?? "");
  if (request.headers["cookie"] !== undefined && !/\b(public|s-maxage)\b/i.test(control)) return false;
  return policy.timeToLive() > 0;
}

/** @see RFC 9110 §13.1.2; compared weakly, for the bytes may have been compressed on their way */
export function hasIt({ headers }: CachePolicy.HttpRequest, { etag }: AnswerHeaders): boolean {
  const asked = headers["if-none-match"];
  if (typeof asked !== "string" || typeof etag !== "string") return false;
  const strong = (tag: string) => tag.trim().replace(/^W\//, "");
  return asked.split(",").some((tag) => tag.trim() === "*" || strong(tag) === strong(etag));
}
