/** The latest frames of a hub, for readers that resume and for readers that fell behind while their snapshot was sent. */
import { firstIndexWhere, invariant } from "#base";

/** Frames kept for resuming, and their bytes: minutes of a busy catalog, and a bound on memory. */
const RING_FRAMES_MAX = 65_536;
const RING_BYTES_MAX = 32 * 1024 * 1024;

export interface RingFrame {
  readonly revision: number;
  readonly topics: readonly string[];
  readonly bytes: Uint8Array;
}

/** Frames in order of revision. One revision may have several. */
export class FrameRing {
  readonly #frames: RingFrame[] = [];
  #bytes = 0;
  #floor: number | undefined;

  /** A reader that knows everything up to here can resume from the ring. Undefined before the first revision. */
  get floor(): number | undefined {
    return this.#floor;
  }

  /** Forgets all frames: whatever came before this revision is unknown. */
  reset(revision: number): void {
    this.#frames.length = 0;
    this.#bytes = 0;
    this.#floor = revision;
  }

  /** Called once per revision, before its frames. */
  begin(revision: number): void {
    this.#floor ??= revision - 1;
  }

  push(frame: RingFrame): void {
    invariant((this.#frames.at(-1)?.revision ?? 0) <= frame.revision, "the frames of a ring are in order of revision");
    this.#frames.push(frame);
    this.#bytes += frame.bytes.length;
  }

  /** The frames after a revision that carry any of the topics. */
  *after(revision: number, topics: ReadonlySet<string>): Iterable<RingFrame> {
    const frames = this.#frames;
    const first = firstIndexWhere(frames.length, (index) => (frames[index] as RingFrame).revision > revision);
    for (let index = first; index < frames.length; index++) {
      const frame = frames[index] as RingFrame;
      if (frame.topics.some((topic) => topics.has(topic))) yield frame;
    }
  }

  /** Drops the oldest frames until the limits hold. Called once per revision, after its frames. */
  trim(): void {
    let cut = 0;
    while (this.#frames.length - cut > RING_FRAMES_MAX || this.#bytes > RING_BYTES_MAX) {
      const frame = this.#frames[cut++] as RingFrame;
      this.#bytes -= frame.bytes.length;
      this.#floor = frame.revision;
    }
    // A reader cannot resume in the middle of a revision, so the rest of the last dropped one goes too.
    while (cut > 0 && this.#frames[cut]?.revision === this.#floor)
      this.#bytes -= (this.#frames[cut++] as RingFrame).bytes.length;
    if (cut > 0) this.#frames.splice(0, cut);
    invariant(this.#bytes >= 0, "a ring does not hold fewer than 0 bytes");
  }
}
