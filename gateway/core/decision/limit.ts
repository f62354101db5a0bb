/** A route's limits: which requests share an allowance, and the headers that report it. @see draft-ietf-httpapi-ratelimit-headers-11 */
import type { LimitedBy } from "../../api.ts";
import { claimValues } from "../callers/claims.ts";
import type { Caller, GatewaySnapshot, LimitVerdict, Moment, Wait } from "./decision.ts";
import type { RequestHead } from "../request/head.ts";
import type { SharedPolicy } from "../limits/lease-arithmetic.ts";
import type { LeaseWait } from "../limits/leased-limits.ts";
import { textHash32 } from "#base";
import { clientNetwork } from "#base/address-class";
import type { RateVerdict } from "../limits/rate-limit.ts";
import { refuse, type Refuse } from "./refusal.ts";
import type { HeaderPair } from "../request/header-list.ts";
import type { CompiledRoute } from "../routing/route.ts";

/** The headers of all limits when they admit the request, the refusal of the first that does not, or a wait for its lease. */
export function limit(
  route: CompiledRoute,
  snapshot: GatewaySnapshot,
  head: RequestHead,
  moment: Moment,
  caller: Caller,
): { readonly headers: readonly HeaderPair[] } | Refuse | Wait {
  const { rateLimit, quota } = route;
  const verdicts: LimitVerdict[] = moment.waited ? [...moment.waited.verdicts] : [];
  // The rate has already counted a request that waited for the quota.
  if (rateLimit && verdicts.length === 0) {
    const { policy, shared, header } = rateLimit;
    const key = `${route.name} ${limitedKey(rateLimit.by, head, caller)}`;
    const verdict = shared
      ? takeShared(snapshot, `rate ${key}`, shared, moment)
      : snapshot.limiter.take(key, policy, moment.nowMs);
    if (!("allowed" in verdict)) return { kind: "wait", route, lease: verdict, verdicts };
    verdicts.push({ name: "default", header, verdict });
    if (!verdict.allowed) {
      const detail = `Route "${route.name}" allows ${policy.requests} requests in ${policy.perMs / 1000} s.`;
      return refuseLimited(route, detail, verdicts);
    }
  }
  if (quota) {
    const { policy, by, header } = quota;
    const key = `quota ${String(policy.per)} ${route.name} ${limitedKey(by, head, caller)}`;
    const verdict = takeShared(snapshot, key, policy, moment);
    if (!("allowed" in verdict)) return { kind: "wait", route, lease: verdict, verdicts };
    verdicts.push({ name: "quota", header, verdict });
    if (!verdict.allowed) {
      const detail = `Route "${route.name}" allows ${policy.requests} requests per ${String(policy.per)}.`;
      return refuseLimited(route, detail, verdicts);
    }
  }
  return { headers: limitHeaders(verdicts) };
}

function takeShared(
  { leases }: GatewaySnapshot,
  key: string,
  policy: SharedPolicy,
  { nowMs, waited }: Moment,
): RateVerdict | LeaseWait {
  if (!leases) return { allowed: true, remaining: policy.burst - 1, resetMs: 0, retryMs: 0 };
  return leases.take(key, policy, nowMs, waited?.lease);
}

/**
 * The key of the requests that share an allowance. Requests without the claim, header or consumer share one allowance, so
 * that callers cannot avoid the limit by omitting it.
 */
export function limitedKey(by: LimitedBy, head: RequestHead, caller: Caller): string {
  const key = allowanceKey(by, head, caller);
  if (key.length <= KEY_CHARS_MAX) return key;
  return `${key.slice(0, KEY_CHARS_MAX)}#${textHash32(key, 1)}.${textHash32(key, 2)}`;
}

/** Longest part of a key that is kept, in characters, so that a hundred thousand keys fit into memory. */
const KEY_CHARS_MAX = 256;

function allowanceKey(by: LimitedBy, head: RequestHead, { claims, consumer }: Caller): string {
  if (by === "ip") return clientNetwork(head.client);
  if (by === "consumer") return JSON.stringify(["consumer", consumer?.name ?? ""]);
  if (by === "route") return "";
  if ("header" in by) return JSON.stringify(["header", ...head.header(by.header.toLowerCase())]);
  return JSON.stringify(claimValues(claims ?? {}, by.claim));
}

function limitHeaders(verdicts: readonly LimitVerdict[]): HeaderPair[] {
  return [
    ["ratelimit-policy", verdicts.map(({ header }) => header).join(", ")],
    ["ratelimit", verdicts.map(leftOf).join(", ")],
  ];
}

function leftOf({ name, verdict }: LimitVerdict): string {
  const ms = verdict.allowed ? verdict.resetMs : Math.max(1_000, verdict.retryMs);
  return `"${name}";r=${verdict.allowed ? verdict.remaining : 0};t=${seconds(ms)}`;
}

function refuseLimited(route: CompiledRoute, detail: string, verdicts: readonly LimitVerdict[]): Refuse {
  const retry = Math.max(1, seconds(verdicts.at(-1)?.verdict.retryMs ?? 0));
  return refuse("RATE_LIMITED", detail, {
    route,
    headers: [["retry-after", String(retry)], ...limitHeaders(verdicts)],
  });
}

/** Sums of spacings are not exact in floating point; 30.000000001 s are 30. */
function seconds(ms: number): number {
  return Math.ceil(ms / 1000 - 1e-6);
}
