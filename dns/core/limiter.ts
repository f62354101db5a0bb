/**
 * Limits the queries of each client: a token bucket per network, in a table of bounded size. The address of a query is
 * easily forged, and its real owner must not be flooded with answers.
 */
import { invariant } from "#base";

/** Networks in the table. The least recently used one is dropped, and starts again with a full bucket. */
export const CLIENTS_MAX = 10_000;
/** Seconds of its rate that a client may use in one burst. */
export const BURST_SECONDS = 2;

interface Bucket {
  tokens: number;
  atMs: number;
}

export class RateLimiter {
  readonly #perSecond: number;
  /** In order of use, the least recently used first. */
  readonly #buckets = new Map<string, Bucket>();

  /** 0 sets no limit. */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  get clients(): number {
    return this.#buckets.size;
  }

  /** Whether this client may send a query now. If so, the query is counted. */
  take(client: string, nowMs: number): boolean {
    if (this.#perSecond === 0) return true;
    const most = this.#perSecond * BURST_SECONDS;
    let bucket = this.#buckets.get(client);
    if (bucket) {
      bucket.tokens = Math.min(most, bucket.tokens + (Math.max(0, nowMs - bucket.atMs) * this.#perSecond) / 1000);
      bucket.atMs = nowMs;
      this.#buckets.delete(client);
    } else {
      bucket = { tokens: most, atMs: nowMs };
      if (this.#buckets.size >= CLIENTS_MAX) this.#buckets.delete(this.#buckets.keys().next().value as string);
    }
    this.#buckets.set(client, bucket);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    invariant(bucket.tokens >= 0 && bucket.tokens < most, "a bucket holds between 0 and its burst");
    invariant(this.#buckets.size <= CLIENTS_MAX, "the table of clients is bounded");
    return true;
  }
}
