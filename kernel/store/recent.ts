/** The last revisions that were published, so that a watch that resumes soon after a cut needs no disk and no server. */
import type { Revision, WatchBatch } from "./types.ts";
import { bytesOf, type History } from "./watch-hub.ts";

/** Revisions kept: some seconds of the fastest writing, hours of the usual. */
export const RECENT_REVISIONS_MAX = 65_536;

/** Bytes of values kept by them. */
const RECENT_BYTES_MAX = 32 * 1024 * 1024;

export class RecentRevisions {
  #batches: WatchBatch[] = [];
  /** Batches at the front that are no longer held, until enough of them are worth moving the rest. */
  #dropped = 0;
  #bytes = 0;
  #base: Revision;

  /** Nothing is known of `base` and before. */
  constructor(base: Revision) {
    this.#base = base;
  }

  /** Everything after this revision is here. */
  get base(): Revision {
    return this.#base;
  }

  push(batch: WatchBatch): void {
    this.#batches.push(batch);
    this.#bytes += bytesOf(batch);
    while (this.#batches.length - this.#dropped > RECENT_REVISIONS_MAX || this.#bytes > RECENT_BYTES_MAX) {
      this.#drop();
    }
    if (this.#dropped > 1024 && this.#dropped * 2 > this.#batches.length) this.#shrink();
  }

  /** Forgets through a revision. */
  forget(through: Revision): void {
    while ((this.#batches[this.#dropped]?.revision ?? Infinity) <= through) this.#drop();
    this.#base = Math.max(this.#base, through);
    this.#shrink();
  }

  /** The batches after a revision, `limit` at most; undefined when some of them are no longer here. */
  after(after: Revision, limit: number, current: Revision): History | undefined {
    if (after < this.#base) return undefined;
    let low = this.#dropped;
    let high = this.#batches.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#batches[middle] as WatchBatch).revision <= after) low = middle + 1;
      else high = middle;
    }
    const batches = this.#batches.slice(low, low + limit);
    const whole = low + limit >= this.#batches.length;
    return { batches, through: whole ? current : (batches.at(-1) as WatchBatch).revision };
  }

  #drop(): void {
    const batch = this.#batches[this.#dropped] as WatchBatch;
    this.#bytes -= bytesOf(batch);
    this.#base = batch.revision;
    // The slot keeps its revision for the search, and lets go of the values.
    this.#batches[this.#dropped++] = { revision: batch.revision, events: [] };
  }

  #shrink(): void {
    this.#batches = this.#batches.slice(this.#dropped);
    this.#dropped = 0;
  }
}
