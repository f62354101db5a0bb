/**
 * A moment that is moved far more often than it is reached. Setting a timer for every request costs more than the
 * request's own bookkeeping, so one timer runs on, looks at the moment when it fires, and is set again for what is left.
 */
import type { Clock } from "#base";

export class Deadline {
  readonly #clock: Clock;
  readonly #onReached: () => void;
  #atMs = Infinity;
  #armedMs = Infinity;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, onReached: () => void) {
    this.#clock = clock;
    this.#onReached = onReached;
  }

  /** Reached in `ms` milliseconds, whatever was set before. */
  set(ms: number): void {
    this.#atMs = this.#clock.monotonic() + ms;
    if (this.#atMs >= this.#armedMs) return;
    this.#cancel?.();
    this.#arm(ms);
  }

  /** Never reached, until set again. */
  clear(): void {
    this.#atMs = Infinity;
  }

  /** Ends the timer, too. */
  close(): void {
    this.#atMs = Infinity;
    this.#armedMs = Infinity;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #arm(ms: number): void {
    this.#armedMs = this.#clock.monotonic() + ms;
    this.#cancel = this.#clock.after(ms, () => this.#look());
  }

  #look(): void {
    this.#armedMs = Infinity;
    this.#cancel = undefined;
    if (this.#atMs === Infinity) return;
    // A timer may fire a fraction of a millisecond early.
    const left = this.#atMs - this.#clock.monotonic();
    if (left >= 1) return this.#arm(left);
    this.#atMs = Infinity;
    this.#onReached();
  }
}
