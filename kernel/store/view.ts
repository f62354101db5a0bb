/**
 * Everything under a prefix, kept up to date: list it, then watch it, and list it again when the revisions that the watch needs are
 * compacted. The owner interprets the entries; it is called in order, one batch at a time.
 */
import { AppError, fullJitter, KeyedWaiters, messageOf, type Host } from "#base";
import { StoreErrors, type StoreEntry, type Revision, type Store, type WatchBatch } from "./types.ts";

/** Entries per page of a listing. All pages are read at one revision. */
const LIST_PAGE = 1000;

/**
 * Milliseconds without a sign of life from the store after which the view's data counts as old. A store gives one every second, so three
 * are missing then. Readers that notice it within this time and switch to another member have current data in less than five seconds.
 */
const VIEW_AGE_MS_MAX = 3_000;

/** Milliseconds before a view tries an unavailable store again: full jitter up to the doubled base, at most the cap. */
const RETRY = { baseMs: 100, capMs: 5000 };

export interface ViewOptions {
  /** For the log. */
  readonly name: string;
  readonly prefix: string;
  /** All entries under the prefix at a revision, in order of key. They replace everything from before. */
  readonly reset: (entries: readonly StoreEntry[], revision: Revision) => void | Promise<void>;
  /**
   * One whole revision, or a bookmark: no events, nothing under the prefix changed up to there. After an AppError, such as an unavailable
   * store, the revision is delivered again a little later. Any other error is a defect and ends the view.
   */
  readonly apply: (batch: WatchBatch) => void | Promise<void>;
}

export class View {
  readonly #host: Host;
  readonly #store: Store;
  readonly #options: ViewOptions;
  #listed = false;
  #connected = false;
  #heardMs = -Infinity;
  #revision: Revision = 0;
  /** By the revision that they wait for. */
  readonly #waiters = new KeyedWaiters();

  constructor(host: Host, store: Store, options: ViewOptions) {
    this.#host = host;
    this.#store = store;
    this.#options = options;
  }

  /** Everything up to here has been delivered; 0 before the first listing. */
  get revision(): Revision {
    return this.#revision;
  }

  /** Whether the watch works and the store gave a recent sign of life. Otherwise the data may be old. */
  get connected(): boolean {
    return this.#connected && this.ageMs <= VIEW_AGE_MS_MAX;
  }

  /**
   * Milliseconds since the store's last sign of life. A working watch gives one about every second. While an engine reconnects a watch,
   * there is none, and only this number shows it.
   */
  get ageMs(): number {
    return this.#host.clock.monotonic() - this.#heardMs;
  }

  /** Resolves when everything up to `revision` has been delivered. @throws the signal's reason */
  async waitFor(revision: Revision, signal: AbortSignal): Promise<void> {
    if (this.#revision >= revision) return;
    signal.throwIfAborted();
    await this.#waiters.wait([String(revision)], { signal });
    if (this.#revision < revision) signal.throwIfAborted();
  }

  /** Follows the store until the signal aborts. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (!this.#listed) await this.#list(signal);
        const { prefix } = this.#options;
        for await (const batch of this.#store.watch({ prefix, after: this.#revision, signal })) {
          await this.#options.apply(batch);
          failures = 0;
          this.#connected = true;
          this.#reached(batch.revision);
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof AppError)) throw error;
        // The revisions are compacted, or the store is older than the one before: start over.
        if (StoreErrors.COMPACTED.is(error) || StoreErrors.FUTURE_REVISION.is(error)) this.#listed = false;
        await this.#pause(failures++, error, signal);
      }
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { prefix } = this.#options;
    const entries: StoreEntry[] = [];
    let page = await this.#store.range({ prefix, limit: LIST_PAGE });
    const { revision } = page;
    for (;;) {
      entries.push(...page.entries);
      const after = page.entries.at(-1)?.key;
      if (!page.more || after === undefined) break;
      signal.throwIfAborted();
      page = await this.#store.range({ prefix, after, limit: LIST_PAGE, revision });
    }
    await this.#options.reset(entries, revision);
    this.#listed = true;
    this.#revision = 0;
    this.#reached(revision);
  }

  #reached(revision: Revision): void {
    this.#heardMs = this.#host.clock.monotonic();
    if (revision <= this.#revision) return;
    this.#revision = revision;
    for (const awaited of this.#waiters.keys()) if (Number(awaited) <= revision) this.#waiters.wake(awaited);
  }

  async #pause(failures: number, error: AppError, signal: AbortSignal): Promise<void> {
    // After a lagged watch or a compaction, the next try succeeds at once. An unavailable store needs a pause.
    if (failures === 0 && (StoreErrors.COMPACTED.is(error) || StoreErrors.WATCH_LAGGED.is(error))) return;
    if (this.#connected || failures === 0) {
      this.#host.log.warn({ view: this.#options.name, code: error.code }, `view is stale: ${messageOf(error)}`);
    }
    this.#connected = false;
    await this.#host.clock.sleep(fullJitter(this.#host.random, failures, RETRY), signal).catch(() => {});
  }
}
