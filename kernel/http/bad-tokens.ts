/**
 * Counts bad tokens by client address, and slows such an address down: after a few, the next one is checked only after a delay that
 * doubles each time. A good token is never slowed, so that one client cannot lock out others behind a shared address. Tokens of 256
 * bits cannot be guessed; the delay keeps load and noise away.
 */
import type { CounterChild, Host } from "#base";
import { clientNetwork } from "#base/address-class";
import { HttpErrors } from "./problem.ts";

/** Bad tokens of an address that are rejected without a delay: a few clients with an old token behind one address. */
export const BAD_TOKENS_FREE = 10;
/** The first delay, and the longest. Milliseconds. */
const DELAY_MS = 1_000;
const DELAY_MS_MAX = 60_000;
/** Milliseconds after its last bad token for which an address is remembered. */
const FORGET_MS = 600_000;
/** Addresses remembered at once: about a megabyte. The least recently active address is forgotten first. */
const ADDRESSES_MAX = 10_000;

interface Seen {
  readonly count: number;
  readonly atMs: number;
  /** Further bad tokens are rejected unchecked until then. */
  readonly untilMs: number;
}

export class BadTokens {
  readonly #host: Host;
  readonly #seen = new Map<string, Seen>();
  readonly #refused: CounterChild;
  readonly #slowed: CounterChild;

  constructor(host: Host, server: string) {
    this.#host = host;
    const family = host.metrics.counter({
      name: "posthouse_http_bad_tokens_total",
      help: "Requests with an invalid token, by server, and by whether they were rejected or slowed down.",
      labelNames: ["server", "result"],
    });
    this.#refused = family.labels(server, "refused");
    this.#slowed = family.labels(server, "slowed");
  }

  /** Counts a bad token. @throws HTTP_TOO_MANY_BAD_TOKENS when its address must wait */
  refuse(address: string): void {
    const nowMs = this.#host.clock.monotonic();
    const key = clientNetwork(address);
    const before = this.#seen.get(key);
    const current = before && nowMs - before.atMs < FORGET_MS ? before : { count: 0, atMs: nowMs, untilMs: 0 };
    if (nowMs < current.untilMs) {
      this.#slowed.inc();
      const retryAfterSeconds = Math.ceil((current.untilMs - nowMs) / 1000);
      throw HttpErrors.TOO_MANY_BAD_TOKENS(
        `Too many invalid tokens from ${address}. Try again in ${retryAfterSeconds} s with a valid token.`,
        { extra: { retryAfterSeconds } },
      );
    }
    const count = current.count + 1;
    const delayMs = delayAfter(count);
    this.#seen.delete(key);
    this.#seen.set(key, { count, atMs: nowMs, untilMs: nowMs + delayMs });
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > ADDRESSES_MAX && oldest !== undefined) this.#seen.delete(oldest);
    this.#refused.inc();
    this.#host.log.info({ address, count, delayMs }, "invalid token rejected");
  }
}

/** Milliseconds that an address must wait after that many bad tokens. */
export function delayAfter(count: number): number {
  if (count <= BAD_TOKENS_FREE) return 0;
  return Math.min(DELAY_MS_MAX, DELAY_MS * 2 ** Math.min(count - BAD_TOKENS_FREE - 1, 16));
}
