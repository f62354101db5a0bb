/**
 * A deadline that is moved far more often than it is reached. Setting a timer for every request costs more than the
 * request's own bookkeeping. So one timer keeps running, checks the deadline when it fires, and is set again for the
 * remaining time.
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

  /** Sets the deadline to `ms` milliseconds from now, replacing an earlier one. */
  set(ms: number): void {
    this.#atMs = this.#clock.monotonic() + ms;
    if (this.#atMs >= this.#armedMs) return;
    this.#cancel?.();
    this.#arm(ms);
  }

  /** Removes the deadline, until it is set again. */
  clear(): void {
    this.#atMs = Infinity;
  }

  /** Removes the deadline and stops the timer. */
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
