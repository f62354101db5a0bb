/** How often devices poll. Politeness, not security: a member only knows the polls that reach it, and forgets them with a restart. */
import type { Clock } from "#base";
import { DEVICE_POLL_SECONDS, DEVICE_SLOW_DOWN_SECONDS } from "../api.ts";

/** Devices remembered at once: those that wait in a busy control plane, twice. */
const DEVICES_MAX = 2_000;
/** Share of the interval after which a poll counts as in time, since networks are uneven. */
const EARLY_SHARE = 0.8;
/** Longest interval. Seconds. */
const INTERVAL_SECONDS_MAX = 60;

export class PollPace {
  readonly #clock: Clock;
  readonly #polls = new Map<string, { readonly atMs: number; readonly seconds: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts a poll. The seconds that the device must wait from now on, when this one came too early. */
  tooEarly(id: string): number | undefined {
    const atMs = this.#clock.monotonic();
    const last = this.#polls.get(id);
    const seconds = last?.seconds ?? DEVICE_POLL_SECONDS;
    const isEarly = last !== undefined && atMs - last.atMs < seconds * 1000 * EARLY_SHARE;
    const next = isEarly ? Math.min(INTERVAL_SECONDS_MAX, seconds + DEVICE_SLOW_DOWN_SECONDS) : seconds;
    this.#polls.delete(id);
    this.#polls.set(id, { atMs, seconds: next });
    const [oldest] = this.#polls.keys();
    if (this.#polls.size > DEVICES_MAX && oldest !== undefined) this.#polls.delete(oldest);
    return isEarly ? next : undefined;
  }

  forget(id: string): void {
    this.#polls.delete(id);
  }
}
