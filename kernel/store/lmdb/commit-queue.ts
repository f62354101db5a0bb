/**
 * Transactions that wait for the disk: one commit for all that came meanwhile, one commit in flight. A failed commit ends the
 * queue, because the disk then lacks revisions that were given out.
 */
import type { Revision, StoreEvent } from "../types.ts";
import type { Disk, Writes } from "./disk.ts";
import type { Change, Row } from "./layout.ts";

/** Bytes and transactions in one commit: enough to fill a disk's sync, few enough not to block the event loop. */
const COMMIT_BYTES_MAX = 4 * 1024 * 1024;
const COMMIT_TXNS_MAX = 1024;

/** Forgotten changes that one commit removes, alone and together with writes. */
const FORGET_IDLE = 1000;
const FORGET_BUSY = 100;

/** A change whose value is in memory until it is on the disk. */
export interface PendingChange extends Change {
  value: Buffer | undefined;
}

/** The changes of one revision while they are gathered. */
export interface RevisionDraft {
  readonly changes: ({ readonly change: PendingChange } & Pick<Row, "row" | "head">)[];
  readonly events: StoreEvent[];
}

/** A draft that waits for the disk. Without changes and meta, it waits for the drafts before it. */
interface WaitingDraft extends RevisionDraft {
  readonly revision: Revision;
  readonly meta: Writes["meta"];
  readonly settled: PromiseWithResolvers<void>;
}

export interface CommitQueueOptions {
  /** Called for each draft in order, once it is on the disk. */
  readonly onDurable: (draft: RevisionDraft, revision: Revision) => void;
  /** Called once. All waiting drafts are rejected with the same error. */
  readonly onFailure: (error: Error) => void;
}

export class CommitQueue {
  readonly #disk: Disk;
  readonly #options: CommitQueueOptions;
  #queue: WaitingDraft[] = [];
  readonly #forgotten: Change[] = [];
  #flushing: Promise<void> | undefined;
  /** Reads over several turns, whose records must stay on the disk meanwhile. */
  #longReads = 0;
  #hasFailed = false;
  #isClosing = false;

  constructor(disk: Disk, options: CommitQueueOptions) {
    this.#disk = disk;
    this.#options = options;
  }

  /** Resolves when the draft, and every draft before it, is on the disk. */
  push(draft: RevisionDraft, revision: Revision, meta: Writes["meta"]): Promise<void> {
    const settled = Promise.withResolvers<void>();
    this.#queue.push({ ...draft, revision, meta, settled });
    this.#flush();
    return settled.promise;
  }

  /** Removes compacted changes from the disk with the next commits. */
  forget(changes: readonly Change[]): void {
    for (const change of changes) this.#forgotten.push(change);
    this.#flush();
  }

  /** Forgotten changes stay on the disk until the result is disposed. */
  longRead(): Disposable {
    this.#longReads++;
    return {
      [Symbol.dispose]: () => {
        this.#longReads--;
        this.#flush();
      },
    };
  }

  /** Resolves when every draft is written. Push none afterwards. */
  async close(): Promise<void> {
    this.#isClosing = true;
    while (this.#flushing) await this.#flushing;
  }

  /** Starts writing, unless a commit is already in flight. */
  #flush(): void {
    this.#flushing ??= this.#flushAll().finally(() => {
      this.#flushing = undefined;
    });
  }

  async #flushAll(): Promise<void> {
    for (;;) {
      // One turn, so that requests of the same moment share one commit, and timers still fire under constant load.
      await nextTurn();
      if (this.#hasFailed) return;
      const group = this.#takeGroup();
      const forgotten = this.#takeForgotten(group.length > 0);
      if (group.length === 0 && forgotten.length === 0) return;
      const changes = group.flatMap((waiting) => waiting.changes);
      const meta = group.flatMap((waiting) => waiting.meta);
      try {
        if (changes.length + meta.length + forgotten.length > 0) await this.#disk.write({ changes, meta, forgotten });
      } catch (error) {
        this.#fail(error as Error, group);
        return;
      }
      for (const waiting of group) {
        this.#options.onDurable(waiting, waiting.revision);
        waiting.settled.resolve();
      }
    }
  }

  #takeGroup(): WaitingDraft[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && count < COMMIT_TXNS_MAX && bytes < COMMIT_BYTES_MAX) {
      for (const { row } of (this.#queue[count] as WaitingDraft).changes) bytes += row.byteLength;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  #takeForgotten(isBusy: boolean): Change[] {
    if (this.#longReads > 0 || this.#isClosing) return [];
    return this.#forgotten.splice(0, isBusy ? FORGET_BUSY : FORGET_IDLE);
  }

  #fail(error: Error, group: readonly WaitingDraft[]): void {
    this.#hasFailed = true;
    for (const waiting of [...group, ...this.#queue]) waiting.settled.reject(error);
    this.#queue = [];
    this.#options.onFailure(error);
  }
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
