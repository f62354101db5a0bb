/**
 * Whether this process itself has more to do than it can: by how late its timers are. When it is, requests are refused
 * before they cost anything, the least important first, since work that is begun and not finished in time is lost work.
 */

/** Milliseconds between two timers that should be on time. */
export const DELAY_SAMPLE_MS = 20;
/** Samples looked back on: five seconds of them. */
const SAMPLES = 250;
/** Milliseconds that one in a hundred timers may be late before requests of low importance are refused. */
export const DELAY_LOW_MS = 100;
/** And those of normal importance. What is critical is always tried. */
export const DELAY_NORMAL_MS = 500;
/** Timers that must have been so late: one long pause is no overload, and is over when it is seen. */
const LATE_TIMERS_MIN = 3;

/** Requests of less importance than that are refused; 0: none are. */
export type Pressure = 0 | 1 | 2;

export class LoopDelay {
  readonly #samples = new Float64Array(SAMPLES);
  /** 1: a timer of its own; 0: time that a late one stood for. */
  readonly #timers = new Uint8Array(SAMPLES);
  #at = 0;
  #count = 0;
  #pressure: Pressure = 0;

  get pressure(): Pressure {
    return this.#pressure;
  }

  /** A timer was so late. A delay of many samples' time counts as that many, for so long nobody else had a turn. */
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

  /** Milliseconds that all but one in a hundred are not later than. */
  p99(): number {
    if (this.#count === 0) return 0;
    const sorted = this.#samples.slice(0, this.#count).sort();
    return sorted[Math.floor(this.#count * 0.99)] as number;
  }
}
