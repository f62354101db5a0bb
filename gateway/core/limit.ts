/** A route's limit: who shares an allowance, and what he is told of it. */
import { claimValues } from "./claims.ts";
import type { Caller, GatewaySnapshot, Moment } from "./decision.ts";
import type { RequestHead } from "./head.ts";
import { addressGroup } from "./rate-limit.ts";
import { refuse, type HeaderPair, type Refuse } from "./refusal.ts";
import type { CompiledRoute } from "./route.ts";

export function limit(
  route: CompiledRoute,
  { policy, by, header }: NonNullable<CompiledRoute["rateLimit"]>,
  snapshot: GatewaySnapshot,
  head: RequestHead,
  moment: Moment,
  { claims, consumer }: Caller,
): { readonly headers: readonly HeaderPair[] } | Refuse {
  // Those without the claim, or the consumer, share one allowance, or leaving it out would be the way around.
  const who =
    by === "ip"
      ? addressGroup(head.client)
      : by === "consumer"
        ? JSON.stringify(["consumer", consumer?.name ?? ""])
        : JSON.stringify(claimValues(claims ?? {}, by.claim));
  const verdict = snapshot.limiter.take(`${route.name} ${who}`, policy, moment.nowMs);
  // Sums of spacings are not exact in floating point; 30.000000001 s are 30.
  const seconds = (ms: number) => Math.ceil(ms / 1000 - 1e-6);
  if (verdict.allowed) {
    // draft-ietf-httpapi-ratelimit-headers-11
    const left = `"default";r=${verdict.remaining};t=${seconds(verdict.resetMs)}`;
    return {
      headers: [
        ["ratelimit-policy", header],
        ["ratelimit", left],
      ],
    };
  }
  const retry = Math.max(1, seconds(verdict.retryMs));
  return refuse(
    "RATE_LIMITED",
    `Route "${route.name}" allows ${policy.requests} requests in ${policy.perMs / 1000} s.`,
    {
      route,
      headers: [
        ["retry-after", String(retry)],
        ["ratelimit-policy", header],
        ["ratelimit", `"default";r=0;t=${retry}`],
      ],
    },
  );
}
