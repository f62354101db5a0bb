/**
 * How fast a client must send. A limit on the whole request would cut honest uploads of any size; one on silence lets a
 * byte a minute hold a connection for ever. So it is a rate, over a span, and it counts only while we would take more.
 */
import type { Clock } from "#base";
import { Deadline } from "../../upstream/deadline.ts";

/** Bytes per second, averaged over the span. A modem of 1980 is faster; so few are sent on purpose. */
const BODY_BYTES_PER_SECOND_MIN = 240;

export class BodyPace {
  readonly #spanMs: number;
  readonly #deadline: Deadline;
  #bytes = 0;

  constructor(clock: Clock, spanMs: number, onSlow: () => void) {
    this.#spanMs = spanMs;
    this.#deadline = new Deadline(clock, () => {
      if (this.#bytes < (BODY_BYTES_PER_SECOND_MIN * spanMs) / 1000) return onSlow();
      this.flow(true);
    });
  }

  /** We take more, or do not for now: then the client is not the slow one. */
  flow(flowing: boolean): void {
    this.#bytes = 0;
    if (flowing) this.#deadline.set(this.#spanMs);
    else this.#deadline.clear();
  }

  note(bytes: number): void {
    this.#bytes += bytes;
  }

  close(): void {
    this.#deadline.close();
  }
}
