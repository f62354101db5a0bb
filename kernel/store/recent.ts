/** The last published revisions, so that a watch that resumes soon after a cut needs no disk and no server. */
import { firstIndexWhere } from "#base";
import type { Revision, WatchBatch } from "./types.ts";
import { bytesOf, type History } from "./watch-hub.ts";

/** Revisions kept: some seconds at the fastest write rate, hours at the usual one. */
export const RECENT_REVISIONS_MAX = 65_536;

/** Bytes of values kept by them. */
const RECENT_BYTES_MAX = 32 * 1024 * 1024;

export class RecentRevisions {
  #batches: WatchBatch[] = [];
  /** Batches at the front that are dropped but not yet cut off, because cutting moves the rest. */
  #dropped = 0;
  #bytes = 0;
  #base: Revision;

  /** Revisions up to and including `base` are unknown. */
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

  /** The batches after a revision, `limit` at most; undefined when some of them are dropped. */
  after(after: Revision, limit: number, current: Revision): History | undefined {
    if (after < this.#base) return undefined;
    const all = this.#batches;
    const first = firstIndexWhere(all.length, (index) => (all[index] as WatchBatch).revision > after);
    const batches = all.slice(first, first + limit);
    const isWhole = first + limit >= all.length;
    return { batches, through: isWhole ? current : (batches.at(-1) as WatchBatch).revision };
  }

  #drop(): void {
    const batch = this.#batches[this.#dropped] as WatchBatch;
    this.#bytes -= bytesOf(batch);
    this.#base = batch.revision;
    // The slot keeps its revision for the search and releases the values.
    this.#batches[this.#dropped++] = { revision: batch.revision, events: [] };
  }

  #shrink(): void {
    this.#batches = this.#batches.slice(this.#dropped);
    this.#dropped = 0;
  }
}
