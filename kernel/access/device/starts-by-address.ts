/** How many logins an address may start: they need no token, and each takes a place in the store for ten minutes. */
import type { Clock } from "#base";
import { clientNetwork } from "#base/address-class";

/** Logins that an address starts in the time below: a team behind one address, on a bad day. */
const STARTS_PER_ADDRESS_MAX = 20;
/** Milliseconds after which an address starts from zero. */
const WINDOW_MS = 600_000;
/** Addresses remembered at once: about a megabyte. The oldest is forgotten first. */
const ADDRESSES_MAX = 10_000;

export class StartsByAddress {
  readonly #clock: Clock;
  readonly #seen = new Map<string, { readonly sinceMs: number; readonly count: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts a start. The seconds to wait when the address has started too many. */
  mustWait(address: string): number | undefined {
    const nowMs = this.#clock.monotonic();
    const key = clientNetwork(address);
    const before = this.#seen.get(key);
    const current = before && nowMs - before.sinceMs < WINDOW_MS ? before : { sinceMs: nowMs, count: 0 };
    if (current.count >= STARTS_PER_ADDRESS_MAX) return Math.ceil((current.sinceMs + WINDOW_MS - nowMs) / 1000);
    this.#seen.delete(key);
    this.#seen.set(key, { ...current, count: current.count + 1 });
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > ADDRESSES_MAX && oldest !== undefined) this.#seen.delete(oldest);
    return undefined;
  }
}
