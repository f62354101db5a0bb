/**
 * The rules of a shared cache for one answer: whether it may be stored, for which requests, how old it is, and how a
 * revalidation updates it. Only explicit freshness counts: an answer that has only a `Last-Modified` is not stored.
 * @see RFC 9111
 */
import { own, setOwn } from "#base";
import type { AnswerHeaders } from "../request/header-list.ts";

/** The request headers that the cache compares; names in lower case. */
export type AskedHeaders = Readonly<Record<string, string>>;

/** The head of an answer, as the service sent it. */
export interface StoredHead {
  readonly status: number;
  /** Always with a `Date`, which does not change while the answer is stored. */
  readonly headers: AnswerHeaders;
  /** The headers of the request that it answered. */
  readonly asked: AskedHeaders;
  /** Monotonic milliseconds at which it arrived. */
  readonly cameMs: number;
}

/** Final statuses that this cache understands. */
const UNDERSTOOD = new Set([200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 451, 501]);

/** Directives by name; `true` for those without a value. Of two values of a directive, the more restrictive one counts. */
export type CacheControl = ReadonlyMap<string, string | true>;

/** The text between commas, except commas in quotes. */
const PART = /(?:[^,"]|"(?:[^"\\]|\\[^])*"?)+/g;
const DIRECTIVE = /^\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*(?:"([^"]*)"|([^"]*)))?/;

export function cacheControl(value: string | string[] | undefined): CacheControl {
  const found = new Map<string, string | true>();
  const text = [value ?? ""].flat().join(",");
  // With an unmatched quote nothing counts as quoted, so that the quote cannot hide the directives after it.
  const balanced = text.split('"').length % 2 === 1 ? text : text.replaceAll('"', "");
  for (const part of balanced.match(PART) ?? []) {
    const [, name = "", quoted, plain] = DIRECTIVE.exec(part) ?? [];
    if (name === "") continue;
    const lower = name.toLowerCase();
    const given = quoted ?? plain?.trim() ?? true;
    const before = found.get(lower);
    if (before === undefined || (seconds(given) ?? 0) < (seconds(before) ?? 0)) found.set(lower, given);
  }
  return found;
}

/** Seconds; a value that is not a number counts as 0. */
function seconds(value: string | true | undefined): number | undefined {
  if (value === undefined) return undefined;
  return value !== true && /^\d+$/.test(value) ? Math.min(Number(value), 2 ** 31) : 0;
}

/** Milliseconds; undefined: not an HTTP date. Date.parse accepts other forms as well. @see RFC 9110 §5.6.7 */
function httpDate(value: unknown): number | undefined {
  if (typeof value !== "string" || !/^[A-Z][a-z]{2}.*\d{2}:\d{2}:\d{2}/.test(value)) return undefined;
  // One of the three forms does not contain GMT.
  const ms = Date.parse(value.endsWith("GMT") ? value : `${value} GMT`);
  return Number.isNaN(ms) ? undefined : ms;
}

/** `came`: the arrival, by both clocks. The recipient dates an answer without a date. @see RFC 9110 §6.6.1 */
export function storedHead(
  status: number,
  headers: AnswerHeaders,
  asked: AskedHeaders,
  came: { readonly nowMs: number; readonly wallMs: number },
): StoredHead {
  const date = typeof headers["date"] === "string" ? headers["date"] : new Date(came.wallMs).toUTCString();
  return { status, headers: { ...headers, date }, asked, cameMs: came.nowMs };
}

function dateOf({ headers }: StoredHead): number {
  return httpDate(headers["date"]) ?? 0;
}

/** Seconds for which the answer is fresh, counted from its creation. */
export function lifetimeSeconds({ headers }: Pick<StoredHead, "headers">): number {
  const control = cacheControl(headers["cache-control"]);
  if (control.has("no-cache") || (control.size === 0 && /no-cache/i.test(String(headers["pragma"] ?? "")))) return 0;
  const said = seconds(control.get("s-maxage")) ?? seconds(control.get("max-age"));
  if (said !== undefined) return said;
  const expires = httpDate(headers["expires"]);
  const date = httpDate(headers["date"]);
  return expires === undefined || date === undefined ? 0 : Math.max(0, (expires - date) / 1000);
}

/** Seconds since the answer was created, including its time in other caches. @see RFC 9111 §4.2.3 */
export function ageSeconds({ headers, cameMs }: StoredHead, nowMs: number): number {
  const [before = ""] = [headers["age"] ?? ""].flat();
  return (seconds(before.trim() || undefined) ?? 0) + Math.max(0, nowMs - cameMs) / 1000;
}

/** Whether the answer may be stored for other requests. @see RFC 9111 §3 */
function mayStore({ status, headers, asked }: StoredHead): boolean {
  const control = cacheControl(headers["cache-control"]);
  if (!UNDERSTOOD.has(status) || headers["set-cookie"] !== undefined || varyOf(headers).includes("*")) return false;
  if (control.has("no-store") || control.has("private") || cacheControl(asked["cache-control"]).has("no-store")) {
    return false;
  }
  // An answer to a request with credentials or cookies may be personal, so it is stored only if the service allows that.
  const forAll = control.has("public") || control.has("s-maxage");
  if (asked["authorization"] !== undefined && !forAll && !control.has("must-revalidate")) return false;
  if (asked["cookie"] !== undefined && !forAll) return false;
  return true;
}

/** Whether it may be stored and is fresh now. */
export function mayKeep(head: StoredHead, nowMs: number): boolean {
  return mayStore(head) && ageSeconds(head, nowMs) < lifetimeSeconds(head);
}

/** Whether it answers a request without revalidation. @see RFC 9111 §4 */
export function isFreshFor(head: StoredHead, asked: AskedHeaders, nowMs: number): boolean {
  if (!isVariantOf(head, asked)) return false;
  const wants = cacheControl(asked["cache-control"]);
  if (wants.has("no-cache") || (wants.size === 0 && /no-cache/i.test(asked["pragma"] ?? ""))) return false;
  const age = ageSeconds(head, nowMs);
  const left = lifetimeSeconds(head) - age;
  if (age > (seconds(wants.get("max-age")) ?? Infinity)) return false;
  const minFresh = seconds(wants.get("min-fresh"));
  if (minFresh !== undefined && left < minFresh) return false;
  if (left > 0) return true;
  const stale = wants.get("max-stale");
  return stale !== undefined && mayServeStale(head) && -left <= (stale === true ? Infinity : (seconds(stale) ?? 0));
}

/** Why a cache forwards a request. @see RFC 9211 §2.2 */
export type ForwardReason = "bypass" | "method" | "uri-miss" | "vary-miss" | "request" | "stale";

/** Why none of the stored answers of a target is used for a request. */
export function forwardReason(stored: readonly StoredHead[], asked: AskedHeaders, nowMs: number): ForwardReason {
  if (stored.length === 0) return "uri-miss";
  const variant = stored.find((head) => isVariantOf(head, asked));
  if (!variant) return "vary-miss";
  return ageSeconds(variant, nowMs) < lifetimeSeconds(variant) ? "request" : "stale";
}

/** The gateway's member of `Cache-Status`; without a reason, a hit. `more`: further parameters. */
export function cacheStatus(reason?: ForwardReason, ...more: readonly string[]): string {
  return ["posthouse", reason === undefined ? "hit" : `fwd=${reason}`, ...more].join("; ");
}

/** The values of `Cache-Status` with the gateway's after those of the caches behind it. */
export function withCacheStatus({ "cache-status": before = [] }: AnswerHeaders, member: string): string[] {
  return [before, member].flat();
}

/** Whether the answer may be served without the revalidation that it needs. */
function mayServeStale({ headers }: StoredHead): boolean {
  const control = cacheControl(headers["cache-control"]);
  return !["must-revalidate", "proxy-revalidate", "s-maxage", "no-cache"].some((name) => control.has(name));
}

/** Whether it may be served instead of an error of the service. @see RFC 5861 §4 */
export function isGoodOnError(head: StoredHead, staleIfErrorSeconds: number, nowMs: number): boolean {
  if (!mayServeStale(head)) return false;
  const said = seconds(cacheControl(head.headers["cache-control"]).get("stale-if-error"));
  return ageSeconds(head, nowMs) <= lifetimeSeconds(head) + (said ?? staleIfErrorSeconds);
}

function varyOf(headers: AnswerHeaders): readonly string[] {
  return [headers["vary"] ?? ""]
    .flat()
    .flatMap((line) => line.split(","))
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "");
}

/** Whether a request selects this variant of the answer, fresh or not. @see RFC 9111 §4.1 */
export function isVariantOf({ headers, asked: before }: StoredHead, asked: AskedHeaders): boolean {
  return varyOf(headers).every((name) => name !== "*" && own(before, name) === own(asked, name));
}

/** The head with only those request headers that select the variant, so that the cache does not store credentials. */
export function forKeeping(head: StoredHead): StoredHead {
  const named = varyOf(head.headers).flatMap((name) => {
    const value = own(head.asked, name);
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...head, asked: Object.fromEntries(named) };
}

/** The headers for a client: those of the service, including its `Date`, and the age. */
export function headersNow(head: StoredHead, nowMs: number): AnswerHeaders {
  return { ...head.headers, age: String(Math.floor(ageSeconds(head, nowMs))) };
}

/** The request headers of a revalidation. */
export function revalidation({ headers }: StoredHead): readonly string[] {
  const { etag, "last-modified": modified } = headers;
  return [
    ...(typeof etag === "string" ? ["if-none-match", etag] : []),
    ...(typeof modified === "string" ? ["if-modified-since", modified] : []),
  ];
}

/** Headers of a 304 that describe a body, which a 304 does not have. The stored answer keeps its own. */
const OF_THE_BYTES = new Set([
  "content-length",
  "content-encoding",
  "content-type",
  "content-range",
  "transfer-encoding",
]);

/**
 * The stored answer after a 304 to the request `asked`: the headers of the 304 replace the stored ones. `personal`: headers
 * for this client only. As with a new answer, `mayKeep` decides whether the result may be stored.
 * @see RFC 9111 §3.2, §4.3.4
 */
export function renewedBy(
  stored: StoredHead,
  headers304: AnswerHeaders,
  asked: AskedHeaders,
  came: { readonly nowMs: number; readonly wallMs: number },
): { readonly head: StoredHead; readonly personal: AnswerHeaders } {
  const headers: AnswerHeaders = { ...stored.headers };
  // These describe the answer as it first arrived.
  delete headers["age"];
  delete headers["date"];
  for (const [name, value] of Object.entries(headers304)) {
    if (!OF_THE_BYTES.has(name) && name !== "set-cookie") setOwn(headers, name, value);
  }
  const cookies = headers304["set-cookie"];
  return {
    head: storedHead(stored.status, headers, asked, came),
    personal: cookies === undefined ? {} : { "set-cookie": cookies },
  };
}

/**
 * Whether the client already has this answer: by its tag, compared weakly, since the body may have been compressed on its
 * way; without a tag, by its date. @see RFC 9110 §13.1.2, §13.1.3, §13.2.1; RFC 9111 §4.3.2
 */
export function clientHas(head: StoredHead, asked: AskedHeaders): boolean {
  if (head.status !== 200) return false;
  const { etag, "last-modified": modified } = head.headers;
  const { "if-none-match": tags, "if-modified-since": since } = asked;
  if (tags === undefined) {
    const sinceMs = httpDate(since);
    return sinceMs !== undefined && (modified === undefined ? dateOf(head) : (httpDate(modified) ?? NaN)) <= sinceMs;
  }
  if (typeof etag !== "string") return false;
  const strong = (tag: string) => tag.trim().replace(/^W\//, "");
  return tags.split(",").some((tag) => tag.trim() === "*" || strong(tag) === strong(etag));
}
