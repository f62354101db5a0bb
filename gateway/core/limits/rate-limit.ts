/**
 * The generic cell rate algorithm: one moment per key says when the next request is on time. No windows, so no double
 * burst at their edges, and two numbers less per key than a token bucket.
 * @see https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm (virtual scheduling)
 */
import { RecentMap } from "./recent-map.ts";

/**
 * Keys remembered, and half of it at least. Beyond, the longest unseen are forgotten; by then almost all of them are back
 * at a full allowance.
 */
const LIMITED_KEYS_MAX = 100_000;

export interface RatePolicy {
  readonly requests: number;
  readonly perMs: number;
  /** Requests at once after silence. */
  readonly burst: number;
}

export interface RateVerdict {
  readonly allowed: boolean;
  /** Requests left at this moment. */
  readonly remaining: number;
  /** Milliseconds until the allowance is full again. */
  readonly resetMs: number;
  /** Milliseconds until one more is allowed; 0 when one is now. */
  readonly retryMs: number;
}

/** By key: how far apart its requests are, and how many were let through. */
type Spent = Map<string, { readonly spacingMs: number; requests: number }>;

/** Holds the moments. It is state, but without a clock: time comes in, and may be anything that does not go back. */
export class RateLimiter {
  readonly #arrivals: RecentMap<number>;
  readonly #workers: number;
  /** Let through since `recorded` was last asked; undefined: nobody asks. */
  #spent: Spent | undefined;

  /** `workers`: how many let through of one allowance, and tell each other by `spend`. */
  constructor({ keysMax = LIMITED_KEYS_MAX, workers = 1 }: { keysMax?: number; workers?: number } = {}) {
    this.#arrivals = new RecentMap(keysMax);
    this.#workers = workers;
  }

  get keys(): number {
    return this.#arrivals.size;
  }

  /** Counts one request of a key, when it is allowed; a refused one costs nothing. */
  take(key: string, policy: RatePolicy, nowMs: number): RateVerdict {
    const spacing = policy.perMs / policy.requests;
    const full = spacing * policy.burst;
    let known = this.#arrivals.get(key) ?? nowMs;
    // Further ahead than the debt of one burst of each is what another policy was used up by.
    const furthest = nowMs + full * this.#workers;
    if (known > furthest) this.#arrivals.set(key, (known = furthest));
    const next = Math.max(known, nowMs) + spacing;
    // A hair's breadth of tolerance: the sum of many spacings is not exact in floating point.
    const early = next - full - nowMs;
    if (early > spacing * 1e-6) {
      return { allowed: false, remaining: 0, resetMs: Math.max(known, nowMs) - nowMs, retryMs: early };
    }
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

  /** From now on it is noted what is let through. */
  record(): void {
    this.#spent = new Map();
  }

  /** What was let through since the last call, by key: how far apart its requests are, and how many. */
  recorded(): (readonly [key: string, spacingMs: number, requests: number])[] {
    if (!this.#spent || this.#spent.size === 0) return [];
    const spent = [...this.#spent].map(([key, { spacingMs, requests }]) => [key, spacingMs, requests] as const);
    this.#spent.clear();
    return spent;
  }

  /** Others let through so much time's worth. It counts whether or not there was room, so that excess is paid back. */
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
