/**
 * How fast a client must send its body. A limit on the whole request would cut honest large uploads; a limit on silence
 * would let one byte per minute hold a connection forever. So the limit is a rate over a time span, and the clock runs
 * only while the gateway reads.
 */
import type { Clock } from "#base";
import { Deadline } from "../../upstream/deadline.ts";

/** Bytes per second, averaged over the span. A modem of 1980 is faster, so a slower client is slow on purpose. */
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

  /** The gateway reads, or has paused: while it has paused, the client is not the slow side. */
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
