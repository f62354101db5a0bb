/**
 * How many queries a client may ask: a token bucket for each network, in a table that never grows beyond its size. An
 * address that is easily forged must not make us send much to whoever really has it.
 */

/** Networks remembered at once; whoever asked least recently is forgotten, and starts anew with a full bucket. */
export const CLIENTS_MAX = 10_000;
/** A client may ask this many seconds' worth at once. */
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

  /** Whether this client may ask now; it has then asked. */
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
    return true;
  }
}
