/** Measures continuously how late the timers of this process fire. */
import type { Clock } from "#base";
import { DELAY_SAMPLE_MS, LoopDelay } from "../core/limits/overload.ts";

export class LoopWatch implements Disposable {
  readonly #clock: Clock;
  readonly delay = new LoopDelay();
  #cancel: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#wait();
  }

  #wait(): void {
    const dueMs = this.#clock.monotonic() + DELAY_SAMPLE_MS;
    this.#cancel = this.#clock.after(DELAY_SAMPLE_MS, () => {
      this.delay.note(this.#clock.monotonic() - dueMs);
      this.#wait();
    });
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }
}
