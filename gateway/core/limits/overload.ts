/**
 * Detects an overload of this process by the delay of its timers. Under overload, requests are rejected before they cost
 * anything, the least important first, since work that does not finish in time is wasted.
 */
import { invariant } from "#base";

/** Milliseconds between two sample timers. */
export const DELAY_SAMPLE_MS = 20;
/** Number of samples that count: five seconds of them. */
const SAMPLES = 250;
/** Milliseconds by which one in a hundred timers may be late before requests of low importance are rejected. */
export const DELAY_LOW_MS = 100;
/** The same for requests of normal importance. Critical requests are never rejected. */
export const DELAY_NORMAL_MS = 500;
/** Least number of late timers. A single long pause is not an overload, and is over when it is noticed. */
const LATE_TIMERS_MIN = 3;

/** Requests of less importance than this are rejected; 0: none. */
export type Pressure = 0 | 1 | 2;

export class LoopDelay {
  readonly #samples = new Float64Array(SAMPLES);
  /** 1: a timer; 0: an interval that passed while a timer was late. */
  readonly #timers = new Uint8Array(SAMPLES);
  #at = 0;
  #count = 0;
  #pressure: Pressure = 0;

  get pressure(): Pressure {
    return this.#pressure;
  }

  /** A timer was late. A delay of several intervals counts as that many samples, since nothing else ran meanwhile. */
  note(lateMs: number): void {
    const weight = Math.min(SAMPLES, 1 + Math.floor(Math.max(0, lateMs) / DELAY_SAMPLE_MS));
    for (let i = 0; i < weight; i++) {
      this.#samples[this.#at] = Math.max(0, lateMs - i * DELAY_SAMPLE_MS);
      this.#timers[this.#at] = i === 0 ? 1 : 0;
      this.#at = (this.#at + 1) % SAMPLES;
    }
    this.#count = Math.min(SAMPLES, this.#count + weight);
    const p99 = this.p99();
    this.#pressure = this.#isLate(p99, DELAY_NORMAL_MS) ? 2 : this.#isLate(p99, DELAY_LOW_MS) ? 1 : 0;
  }

  #isLate(p99: number, ms: number): boolean {
    if (p99 <= ms) return false;
    let timers = 0;
    for (let i = 0; i < this.#count; i++) if ((this.#samples[i] as number) > ms) timers += this.#timers[i] as number;
    return timers >= LATE_TIMERS_MIN;
  }

  /** The delay in milliseconds that 99 in 100 timers do not exceed. */
  p99(): number {
    if (this.#count === 0) return 0;
    const sorted = this.#samples.slice(0, this.#count).sort();
    const delayMs = sorted[Math.floor(this.#count * 0.99)] as number;
    invariant(delayMs >= 0, "a timer is not early");
    return delayMs;
  }
}
