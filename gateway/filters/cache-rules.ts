/**
 * What a shared cache may keep, and for whom. RFC 9111's own rules are http-cache-semantics'; here is what a gateway
 * adds to them.
 */
import { own, setOwn } from "#base";
import type CachePolicy from "http-cache-semantics";
import { headerValues, type RequestHead } from "../core/head.ts";
import { canonicalTarget } from "../core/path.ts";
import type { AnswerHeaders } from "../core/headers.ts";
import type { Forward } from "../core/pipeline.ts";
import type { CallPlan } from "../upstream/call.ts";

/** As http-cache-semantics sees it; undefined when the cache has no business with it. */
export function requestOf(plan: CallPlan): CachePolicy.HttpRequest | undefined {
  const { request, target, endpoint } = plan.forward;
  const { head } = request;
  // What was kept of a GET is the answer to a HEAD, too, but for its body.
  if (
    (plan.method !== "GET" && plan.method !== "HEAD") ||
    plan.body ||
    head.header("range").length > 0 ||
    head.header("upgrade").length > 0
  )
    return undefined;
  const raw = plan.request(endpoint, undefined, 1).headers;
  const headers: Record<string, string> = {};
  for (let at = 0; at < raw.length; at += 2) {
    const name = (raw[at] as string).toLowerCase();
    if (!Object.hasOwn(headers, name)) setOwn(headers, name, headerValues(raw, name).join(", "));
  }
  // The Host that the service sees is the endpoint's, and differs with each.
  return { url: target, method: "GET", headers: { ...headers, host: head.authority } };
}

/** Methods after which nothing is other than before. @see RFC 9110 §9.2.1 */
const SAFE = new Set(["GET", "HEAD", "OPTIONS"]);

export function isUnsafe(method: string): boolean {
  return !SAFE.has(method);
}

/** What an answer tells of, whoever asked for it and by whatever route; without scheme and port, for they seldom matter. */
export function resourceOf({ host, path, query }: Pick<RequestHead, "host" | "path" | "query">): string {
  return host + path + query;
}

/**
 * What an unsafe request that did not fail has changed: its target, and on the same origin what the answer names.
 * @see RFC 9111 §4.4
 */
export function changedBy(head: RequestHead, answer: readonly string[]): readonly string[] {
  const changed = [resourceOf(head)];
  const base = URL.parse(`${head.scheme}://${head.authority}${head.path}`);
  for (const name of ["location", "content-location"]) {
    const [value] = headerValues(answer, name);
    const url = value === undefined || !base ? null : URL.parse(value, base);
    if (!url || url.origin !== base?.origin) continue;
    const canonical = canonicalTarget(url.pathname + url.search);
    if (canonical.ok) changed.push(resourceOf({ host: head.host, path: canonical.path, query: canonical.query }));
  }
  return changed;
}

/** Whether a client would rather have nothing than wait for the service. @see RFC 9111 §5.2.1.7 */
export function onlyIfCached({ method, forward }: CallPlan): boolean {
  if (isUnsafe(method)) return false;
  const control = forward.request.head.header("cache-control");
  return control.some((value) => value.split(",").some((one) => one.trim().toLowerCase() === "only-if-cached"));
}

/** All that the gateway itself tells the service; as JSON, so that no part can pose as the next. */
export function keyOf({ route, request, target, setHeaders, edits, authority }: Forward): string {
  const { head, consumer } = request;
  return JSON.stringify([
    route.name,
    route.cluster.key,
    head.scheme,
    head.authority,
    authority ?? "",
    target,
    consumer?.name ?? "",
    head.clientCertificate ?? "",
    setHeaders,
    edits?.put ?? [],
  ]);
}

/** Whether a request is of the variant that an answer was given to, fresh or not. */
export function sameVary(policy: CachePolicy, request: Pick<CachePolicy.HttpRequest, "headers">): boolean {
  const vary = String(policy.responseHeaders()["vary"] ?? "");
  if (vary === "") return true;
  const before = (policy.toObject() as { reqh?: Record<string, string> | null }).reqh ?? {};
  return vary.split(",").every((name) => {
    const lower = name.trim().toLowerCase();
    return lower !== "*" && own(before, lower) === own(request.headers, lower);
  });
}

export function sameVariant(a: CachePolicy, b: CachePolicy): boolean {
  const headers = (b.toObject() as { reqh?: Record<string, string> | null }).reqh ?? {};
  return sameVary(a, { headers });
}

/** Headers that ask only for what is new. A client's own conditions are left alone, for the answer to them is the client's. */
export function conditions(policy: CachePolicy, request: CachePolicy.HttpRequest): readonly string[] {
  if (hasCondition(request)) return [];
  const asked = policy.revalidationHeaders(request);
  return (["if-none-match", "if-modified-since"] as const).flatMap((name) =>
    typeof asked[name] === "string" ? [name, asked[name]] : [],
  );
}

export function hasCondition({ headers }: CachePolicy.HttpRequest): boolean {
  return ["if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range"].some(
    (name) => own(headers, name) !== undefined,
  );
}

export function mayKeep(
  policy: CachePolicy,
  request: CachePolicy.HttpRequest,
  status: number,
  headers: AnswerHeaders,
): boolean {
  if (!policy.storable() || status === 304 || status === 206) return false;
  if (headers["set-cookie"] !== undefined || String(headers["vary"] ?? "").includes("*")) return false;
  // What a cookie may have made personal is kept only when the service says that it is for all.
  const control = String(headers["cache-control"] ?? "");
  if (request.headers["cookie"] !== undefined && !/\b(public|s-maxage)\b/i.test(control)) return false;
  return policy.timeToLive() > 0;
}

/** @see RFC 5861 §4; what must be revalidated is never served without. */
export function mayBeStale(policy: CachePolicy, staleIfErrorSeconds: number): boolean {
  const control = String(policy.responseHeaders()["cache-control"] ?? "");
  if (/\b(must-revalidate|proxy-revalidate|s-maxage|no-cache)\b/i.test(control)) return false;
  const said = /\bstale-if-error=(\d+)/i.exec(control)?.[1];
  return policy.age() <= policy.maxAge() + (said === undefined ? staleIfErrorSeconds : Number(said));
}

/**
 * Whether the client has this very answer: by its tag, compared weakly, for the bytes may have been compressed on their
 * way; without one by its date. @see RFC 9110 §13.1.2, §13.1.3, §13.2.1; RFC 9111 §4.3.2
 */
export function hasIt({ headers }: CachePolicy.HttpRequest, kept: { policy: CachePolicy; status: number }): boolean {
  if (kept.status !== 200) return false;
  const { etag, "last-modified": modified } = kept.policy.responseHeaders();
  const { "if-none-match": asked, "if-modified-since": since } = headers;
  if (asked === undefined) {
    const sinceMs = httpDate(since);
    return (
      sinceMs !== undefined && (modified === undefined ? kept.policy.date() : (httpDate(modified) ?? NaN)) <= sinceMs
    );
  }
  if (typeof asked !== "string" || typeof etag !== "string") return false;
  const strong = (tag: string) => tag.trim().replace(/^W\//, "");
  return asked.split(",").some((tag) => tag.trim() === "*" || strong(tag) === strong(etag));
}

/** Milliseconds; undefined: no date of HTTP. What Date.parse takes beside is none. @see RFC 9110 §5.6.7 */
function httpDate(value: unknown): number | undefined {
  if (typeof value !== "string" || !/^[A-Z][a-z]{2}.*\d{2}:\d{2}:\d{2}/.test(value)) return undefined;
  // Of the three forms one does not say that it is in GMT.
  const ms = Date.parse(value.endsWith("GMT") ? value : `${value} GMT`);
  return Number.isNaN(ms) ? undefined : ms;
}
