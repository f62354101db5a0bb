/**
 * The generic cell rate algorithm: it stores one time per key, at which the next request is due. It has no windows, so no
 * double burst at their edges, and stores two numbers fewer per key than a token bucket.
 * @see https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm (virtual scheduling)
 */
import { invariant } from "#base";
import { RecentMap } from "./recent-map.ts";

/**
 * Most keys that are kept; at least half of it. The keys that were unused for longest are dropped, and almost all of these
 * have a full allowance again.
 */
const LIMITED_KEYS_MAX = 100_000;

export interface RatePolicy {
  readonly requests: number;
  readonly perMs: number;
  /** Requests at once after a pause. */
  readonly burst: number;
}

export interface RateVerdict {
  readonly allowed: boolean;
  /** Requests that are allowed now. */
  readonly remaining: number;
  /** Milliseconds until the allowance is full again. */
  readonly resetMs: number;
  /** Milliseconds until the next request is allowed; 0: one is allowed now. */
  readonly retryMs: number;
}

/** By key: the spacing of its requests, and the number of admitted requests. */
type Spent = Map<string, { readonly spacingMs: number; requests: number }>;

/** Keeps the times. It has no clock of its own: callers pass a time that never goes back. */
export class RateLimiter {
  readonly #arrivals: RecentMap<number>;
  readonly #workers: number;
  /** Admitted requests since the last call of `recorded`; undefined: they are not recorded. */
  #spent: Spent | undefined;

  /** `workers`: the number of limiters that share one allowance, and report to each other by `spend`. */
  constructor({ keysMax = LIMITED_KEYS_MAX, workers = 1 }: { keysMax?: number; workers?: number } = {}) {
    this.#arrivals = new RecentMap(keysMax);
    this.#workers = workers;
  }

  get keys(): number {
    return this.#arrivals.size;
  }

  /** Counts one request of a key if it is allowed. A rejected request costs nothing. */
  take(key: string, policy: RatePolicy, nowMs: number): RateVerdict {
    const spacing = policy.perMs / policy.requests;
    const full = spacing * policy.burst;
    let known = this.#arrivals.get(key) ?? nowMs;
    // A time further ahead than one burst of each worker comes from an earlier policy of the key.
    const furthest = nowMs + full * this.#workers;
    if (known > furthest) this.#arrivals.set(key, (known = furthest));
    const next = Math.max(known, nowMs) + spacing;
    // A small tolerance, since the sum of many spacings is not exact in floating point.
    const early = next - full - nowMs;
    if (early > spacing * 1e-6) {
      return { allowed: false, remaining: 0, resetMs: Math.max(known, nowMs) - nowMs, retryMs: early };
    }
    invariant(next > nowMs, "an admitted request moves the next due time into the future");
    this.#arrivals.set(key, next);
    if (this.#spent) this.#note(this.#spent, key, spacing);
    const remaining = Math.max(0, Math.floor((full - (next - nowMs)) / spacing + 1e-6));
    return {
      allowed: true,
      remaining,
      resetMs: next - nowMs,
      retryMs: remaining > 0 ? 0 : Math.max(0, next + spacing - full - nowMs),
    };
  }

  /** Starts to record admitted requests. */
  record(): void {
    this.#spent = new Map();
  }

  /** Admitted requests since the last call, by key: the spacing of the requests, and their number. */
  recorded(): (readonly [key: string, spacingMs: number, requests: number])[] {
    if (!this.#spent || this.#spent.size === 0) return [];
    const spent = [...this.#spent].map(([key, { spacingMs, requests }]) => [key, spacingMs, requests] as const);
    this.#spent.clear();
    return spent;
  }

  /** Other workers admitted requests, given as a sum of spacings. They count even beyond the limit, so that excess is paid back. */
  spend(key: string, ms: number, nowMs: number): void {
    const next = Math.max(this.#arrivals.get(key) ?? nowMs, nowMs) + ms;
    this.#arrivals.set(key, next);
  }

  #note(spent: Spent, key: string, spacingMs: number): void {
    const known = spent.get(key);
    if (known && known.spacingMs === spacingMs) known.requests += 1;
    else spent.set(key, { spacingMs, requests: 1 });
  }
}
