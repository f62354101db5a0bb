/**
 * Whether a failed call is tried again, and where. Only what cannot have had an effect, or may have it twice, and
 * only before the client saw a byte; and never so much that a sick upstream is buried under second tries.
 */
import type { GatewayErrorName } from "../../api.ts";

/** Safe to repeat by definition. @see RFC 9110 §9.2.2 */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"]);

/** Retries as a share of requests, beside a small allowance per second. @see Finagle's RetryBudget */
const RETRY_BUDGET = { share: 0.2, perSecond: 3, tokensMax: 100 } as const;

/** A call that failed before any byte of an answer reached the client. */
export interface FailedCall {
  readonly error: GatewayErrorName;
  /** Failed while connecting: the upstream saw nothing of the request. */
  readonly connecting: boolean;
  /** The upstream did nothing with the request, and said so: it refused the stream, or was leaving. */
  readonly unsent?: boolean;
  /** On a connection that had served before: most likely the upstream closed it as the request left. */
  readonly reused: boolean;
}

/** What a route says of further tries. */
export interface RetryPolicy {
  readonly attempts: number;
  readonly on: ReadonlySet<"connect" | "reset" | "timeout">;
  readonly statuses: ReadonlySet<number>;
  /** Milliseconds after which a second endpoint is asked, too; undefined: none is. */
  readonly hedgeMs: number | undefined;
}

export const NO_RETRY: RetryPolicy = { attempts: 0, on: new Set(), statuses: new Set(), hedgeMs: undefined };

/** Milliseconds that a service may ask to wait before it is asked again; for longer the client waits better. */
export const RETRY_AFTER_MS_MAX = 5_000;
/** Milliseconds before a further try that adds load: a random part of the base, doubled each time. Envoy's. */
export const RETRY_BACKOFF_MS = { base: 25, cap: 250 } as const;
/** Endpoints that may refuse one request in a row. Each costs well under a millisecond, and nothing of anybody's budget. */
export const MOVES_MAX = 16;
/** Says which try of a request this is, from the second on. Who sees it does not try again itself. */
export const ATTEMPT_HEADER = "x-posthouse-attempt";

export interface RetryContext {
  readonly method: string;
  readonly hasBody: boolean;
  /** Whether any of the body was taken from the client. */
  readonly bodyStarted: boolean;
  /** Tries on other endpoints so far, but for those after a refused connection. */
  readonly retries: number;
  /** Tries after a refused connection so far. */
  readonly moves: number;
  readonly policy: Pick<RetryPolicy, "attempts" | "on">;
  /** Whether a fresh connection was tried already. */
  readonly refreshed: boolean;
}

/**
 * `fresh`: the same endpoint on a new connection, for a kept-alive one had died. `move`: another endpoint, for this one
 * never saw the request. Neither adds to what the upstream has to do, so neither costs budget; nor does a refusal count
 * as one of the route's attempts, or a request would meet those that are gone instead of the one that is there. `again`:
 * another endpoint gets what this one may have begun, if the budget allows.
 */
export type RetryChoice = "fresh" | "move" | "again" | "none";

export function chooseRetry(failed: FailedCall, context: RetryContext): RetryChoice {
  const { policy } = context;
  const unseen = failed.connecting || (failed.unsent ?? false);
  const again =
    (failed.error === "UPSTREAM_RESET" && policy.on.has("reset")) ||
    (failed.error === "UPSTREAM_TIMEOUT" && policy.on.has("timeout"));
  // A kept connection that was closing is nobody's failure, so it is replaced whatever the route says.
  const stale = failed.error === "UPSTREAM_RESET" && failed.reused;
  const repeatable = unseen ? !context.bodyStarted : (again || stale) && isRepeatable(context);
  if (!repeatable || failed.error === "OVERLOADED") return "none";
  if ((failed.reused || failed.unsent) && !failed.connecting && !context.refreshed) return "fresh";
  const left = context.retries < policy.attempts;
  if (!unseen) return again && left ? "again" : "none";
  const moves = isRefusal(failed) ? policy.attempts > 0 && context.moves < MOVES_MAX : left;
  return policy.on.has("connect") && moves ? "move" : "none";
}

/** Nobody there takes connections, and said so at once. */
export function isRefusal({ error, connecting }: Pick<FailedCall, "error" | "connecting">): boolean {
  return connecting && error === "UPSTREAM_UNREACHABLE";
}

/** Whether it may be sent a second time though the first may have had its effect. */
export function isRepeatable({ method, hasBody }: Pick<RetryContext, "method" | "hasBody">): boolean {
  return IDEMPOTENT.has(method) && !hasBody;
}

/**
 * Milliseconds to wait before an answer of this status is asked for again; undefined when it is to be passed on.
 * `retryAfter` is in seconds, as RFC 9110 §10.2.3 has it; a date is for clients.
 */
export function statusRetryMs(
  status: number,
  retryAfter: string | undefined,
  {
    policy,
    retries,
    random,
    ...context
  }: Pick<RetryContext, "method" | "hasBody" | "retries"> & {
    readonly policy: RetryPolicy;
    readonly random: () => number;
  },
): number | undefined {
  if (!policy.statuses.has(status) || retries >= policy.attempts || !isRepeatable(context)) return undefined;
  if (retryAfter === undefined) return backoffMs(retries, random);
  if (!/^\d{1,6}$/.test(retryAfter)) return undefined;
  const asked = Number(retryAfter) * 1000;
  return asked > RETRY_AFTER_MS_MAX ? undefined : Math.max(asked, backoffMs(retries, random));
}

export function backoffMs(retries: number, random: () => number): number {
  return random() * Math.min(RETRY_BACKOFF_MS.cap, RETRY_BACKOFF_MS.base * 2 ** retries);
}

/**
 * A token bucket: each request adds a share of a retry, each second adds a few. Of several workers each has a bucket for
 * its own requests and an equal part of those few, which comes to the same in sum.
 */
export class RetryBudget {
  readonly #perSecond: number;
  readonly #tokensMax: number;
  #tokens: number;
  #filledMs = -Infinity;

  constructor(workers = 1) {
    this.#perSecond = RETRY_BUDGET.perSecond / workers;
    this.#tokensMax = Math.max(1, RETRY_BUDGET.tokensMax / workers);
    this.#tokens = Math.max(1, this.#perSecond);
  }

  deposit(): void {
    this.#tokens = Math.min(this.#tokensMax, this.#tokens + RETRY_BUDGET.share);
  }

  /** Takes one retry, if there is one. */
  withdraw(nowMs: number): boolean {
    const seconds = this.#filledMs === -Infinity ? 0 : (nowMs - this.#filledMs) / 1000;
    this.#filledMs = nowMs;
    this.#tokens = Math.min(this.#tokensMax, this.#tokens + seconds * this.#perSecond);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
