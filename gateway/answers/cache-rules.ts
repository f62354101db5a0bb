/** The rules of the gateway's cache: which requests it serves, by which key, and what unsafe requests change. */
import { own, setOwn } from "#base";
import type { RequestHead } from "../core/request/head.ts";
import { headerValues } from "../core/request/header-list.ts";
import { canonicalTarget } from "../core/paths/path.ts";
import type { Forward } from "../core/decision/pipeline.ts";
import type { AskedHeaders } from "../core/decision/stored-answer.ts";
import type { CallPlan } from "../upstream/call-plan.ts";

/** The headers that the service would receive; undefined when the cache does not handle the request. */
export function askedBy(plan: CallPlan): AskedHeaders | undefined {
  const { request, endpoint } = plan.forward;
  const { head } = request;
  // The stored answer to a GET also answers a HEAD, without its body.
  if (!isCacheable(plan.method) || plan.body || head.header("range").length > 0 || head.header("upgrade").length > 0)
    return undefined;
  const raw = plan.request(endpoint, undefined, 1).headers;
  const headers: Record<string, string> = Object.create(null) as Record<string, string>;
  for (let at = 0; at < raw.length; at += 2) {
    const name = (raw[at] as string).toLowerCase();
    if (!Object.hasOwn(headers, name)) setOwn(headers, name, headerValues(raw, name).join(", "));
  }
  // The Host that the service receives is the endpoint's, and differs from endpoint to endpoint.
  headers["host"] = head.authority;
  return headers;
}

/** Whether a stored answer can answer a request of this method. */
export function isCacheable(method: string): boolean {
  return method === "GET" || method === "HEAD";
}

/** Methods that change nothing. @see RFC 9110 §9.2.1 */
const SAFE = new Set(["GET", "HEAD", "OPTIONS"]);

export function isUnsafe(method: string): boolean {
  return !SAFE.has(method);
}

/** The resource that an answer represents, for all callers and routes. Without scheme and port, which rarely matter. */
export function resourceOf({ host, path, query }: Pick<RequestHead, "host" | "path" | "query">): string {
  return host + path + query;
}

/**
 * The resources that a successful unsafe request changed: its target, and those on the same origin that the answer
 * names.
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

/** Whether the client accepts only a stored answer. @see RFC 9111 §5.2.1.7 */
export function onlyIfCached({ method, forward }: CallPlan): boolean {
  if (isUnsafe(method)) return false;
  const control = forward.request.head.header("cache-control");
  return control.some((value) => value.split(",").some((one) => one.trim().toLowerCase() === "only-if-cached"));
}

/** Everything that the gateway itself sends to the service. Encoded as JSON, so that no part can be read as another. */
export function cacheKeyOf({ route, request, target, setHeaders, edits, authority }: Forward): string {
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

export function hasCondition(headers: AskedHeaders): boolean {
  return ["if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range"].some(
    (name) => own(headers, name) !== undefined,
  );
}
