/**
 * Whether a failed call is tried again, and where. Only what cannot have had an effect, or may have it twice, and
 * only before the client saw a byte; and never so much that a sick upstream is buried under second tries.
 */
import type { GatewayErrorName } from "../api.ts";

/** Safe to repeat by definition. @see RFC 9110 §9.2.2 */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"]);

/** Retries as a share of requests, beside a small allowance per second. @see Finagle's RetryBudget */
export const RETRY_BUDGET = { share: 0.2, perSecond: 3, tokensMax: 100 } as const;

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

export interface RetryContext {
  readonly method: string;
  readonly hasBody: boolean;
  /** Whether any of the body was taken from the client. */
  readonly bodyStarted: boolean;
  /** Tries on other endpoints so far. */
  readonly retries: number;
  readonly retriesMax: number;
  /** Whether a fresh connection was tried already. */
  readonly refreshed: boolean;
}

/**
 * `fresh`: the same endpoint on a new connection, for a kept-alive one had died. `move`: another endpoint, for this one
 * never saw the request. Neither adds to what the upstream has to do, so neither costs budget. `again`: another
 * endpoint gets what this one may have begun, if the budget allows.
 */
export type RetryChoice = "fresh" | "move" | "again" | "none";

export function chooseRetry(failed: FailedCall, context: RetryContext): RetryChoice {
  const repeatable =
    failed.connecting || failed.unsent
      ? !context.bodyStarted
      : failed.error === "UPSTREAM_RESET" && IDEMPOTENT.has(context.method) && !context.hasBody;
  if (!repeatable) return "none";
  if ((failed.reused || failed.unsent) && !failed.connecting && !context.refreshed) return "fresh";
  if (context.retries >= context.retriesMax) return "none";
  return failed.connecting || failed.unsent ? "move" : "again";
}

/** A token bucket: each request adds a share of a retry, each second adds a few. */
export class RetryBudget {
  #tokens: number = RETRY_BUDGET.perSecond;
  #filledMs = -Infinity;

  deposit(): void {
    this.#tokens = Math.min(RETRY_BUDGET.tokensMax, this.#tokens + RETRY_BUDGET.share);
  }

  /** Takes one retry, if there is one. */
  withdraw(nowMs: number): boolean {
    const seconds = this.#filledMs === -Infinity ? 0 : (nowMs - this.#filledMs) / 1000;
    this.#filledMs = nowMs;
    this.#tokens = Math.min(RETRY_BUDGET.tokensMax, this.#tokens + seconds * RETRY_BUDGET.perSecond);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
