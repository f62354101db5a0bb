/**
 * Whether a failed call is retried, and where. Only calls that cannot have had an effect or may have it twice are
 * retried, only before the client received a byte, and never so many that retries overload an unhealthy upstream.
 */
import { invariant } from "#base";
import type { GatewayErrorName } from "../../api.ts";

/** Safe to repeat by definition. @see RFC 9110 §9.2.2 */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"]);

/** Retries as a share of requests, beside a small allowance per second. @see Finagle's RetryBudget */
const RETRY_BUDGET = { share: 0.2, perSecond: 3, tokensMax: 100 } as const;

/** A call that failed before a byte of an answer reached the client. */
export interface FailedCall {
  readonly error: GatewayErrorName;
  /** The connection failed: the upstream received nothing of the request. */
  readonly connecting: boolean;
  /** The upstream reported that it did not process the request: it refused the stream, or was shutting down. */
  readonly unsent?: boolean;
  /** The connection had served requests before: most likely the upstream closed it while the request was being sent. */
  readonly reused: boolean;
}

/** A route's settings for retries. */
export interface RetryPolicy {
  readonly attempts: number;
  readonly on: ReadonlySet<"connect" | "reset" | "timeout">;
  readonly statuses: ReadonlySet<number>;
  /** Milliseconds after which a second endpoint receives the request, too; undefined: never. */
  readonly hedgeMs: number | undefined;
}

export const NO_RETRY: RetryPolicy = { attempts: 0, on: new Set(), statuses: new Set(), hedgeMs: undefined };

/** The longest Retry-After that the gateway waits for, in milliseconds. For longer, the client should wait instead. */
export const RETRY_AFTER_MS_MAX = 5_000;
/** Milliseconds before a retry that adds load: a random part of the base, which doubles each time. As in Envoy. */
export const RETRY_BACKOFF_MS = { base: 25, cap: 250 } as const;
/** Endpoints in a row that may refuse a request. Each costs well under a millisecond, and none of the retry budget. */
export const MOVES_MAX = 16;
/** The number of the attempt, from the second on. A proxy that sees it does not retry by itself. */
export const ATTEMPT_HEADER = "x-posthouse-attempt";

export interface RetryContext {
  readonly method: string;
  readonly hasBody: boolean;
  /** Whether any of the body was read from the client. */
  readonly bodyStarted: boolean;
  /** Attempts on other endpoints so far, except those after a refused connection. */
  readonly retries: number;
  /** Attempts after a refused connection so far. */
  readonly moves: number;
  readonly policy: Pick<RetryPolicy, "attempts" | "on">;
  /** Whether a fresh connection was tried already. */
  readonly refreshed: boolean;
}

/**
 * - `fresh`: the same endpoint on a new connection, since the kept-alive connection was closed.
 * - `move`: another endpoint, since this one never received the request.
 * - `again`: another endpoint, although this one may have begun the request; only if the retry budget allows.
 *
 * `fresh` and `move` add no work for the upstream, so they cost no budget. A refused connection does not count as one of
 * the route's attempts either; otherwise a few dead endpoints could use up the attempts before a live one is tried.
 */
export type RetryChoice = "fresh" | "move" | "again" | "none";

export function chooseRetry(failed: FailedCall, context: RetryContext): RetryChoice {
  const { policy } = context;
  const unseen = failed.connecting || (failed.unsent ?? false);
  const again =
    (failed.error === "UPSTREAM_RESET" && policy.on.has("reset")) ||
    (failed.error === "UPSTREAM_TIMEOUT" && policy.on.has("timeout"));
  // A kept-alive connection that was closing is not a failure, so it is replaced whatever the route allows.
  const stale = failed.error === "UPSTREAM_RESET" && failed.reused;
  const repeatable = unseen ? !context.bodyStarted : (again || stale) && isRepeatable(context);
  if (!repeatable || failed.error === "OVERLOADED") return "none";
  if ((failed.reused || failed.unsent) && !failed.connecting && !context.refreshed) return "fresh";
  const left = context.retries < policy.attempts;
  if (!unseen) return again && left ? "again" : "none";
  const moves = isRefusal(failed) ? policy.attempts > 0 && context.moves < MOVES_MAX : left;
  return policy.on.has("connect") && moves ? "move" : "none";
}

/** The endpoint refused the connection at once. */
export function isRefusal({ error, connecting }: Pick<FailedCall, "error" | "connecting">): boolean {
  return connecting && error === "UPSTREAM_UNREACHABLE";
}

/** Whether the request may be sent a second time although the first may have had an effect. */
export function isRepeatable({ method, hasBody }: Pick<RetryContext, "method" | "hasBody">): boolean {
  return IDEMPOTENT.has(method) && !hasBody;
}

/**
 * Milliseconds to wait before a retry after an answer of this status; undefined when the answer is forwarded instead.
 * `retryAfter` is in seconds (RFC 9110 §10.2.3); an answer with a date is forwarded.
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
 * A token bucket: each request adds a fraction of a retry, and each second adds a few retries. Each worker has a bucket
 * for its own requests and gets an equal part of the retries per second, so the total is the same for any number.
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

  /** Takes one retry; false: the budget is used up. */
  withdraw(nowMs: number): boolean {
    const seconds = this.#filledMs === -Infinity ? 0 : (nowMs - this.#filledMs) / 1000;
    this.#filledMs = nowMs;
    this.#tokens = Math.min(this.#tokensMax, this.#tokens + seconds * this.#perSecond);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    invariant(this.#tokens >= 0, "a retry budget is not overdrawn");
    return true;
  }
}
