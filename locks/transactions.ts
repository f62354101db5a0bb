/**
 * Transactions on a lock: planned from the book, tried on the store, and planned again when another writer was first.
 * Nothing is polled: the store's watch brings the other writer's change, which starts the next try.
 */
import { AppError, deadline, KeyedWaiters, type Host } from "#base";
import { StoreErrors, type Store, type View } from "#store";
import { LocksErrors, type LockRef } from "./api.ts";
import type { Book } from "./core/book.ts";
import type { LockPlan } from "./core/commands.ts";
import { lockId } from "./core/keys.ts";

/** Milliseconds that a call waits for the view to reach a revision, before the server answers that it lags. */
export const VIEW_WAIT_MS_MAX = 5_000;

export class LockTransactions {
  readonly #host: Host;
  readonly #store: Store;
  readonly #view: View;
  readonly #book: Book;
  /** Calls whose plan met a newer state than the book's, by lock. */
  readonly #outdated = new KeyedWaiters();

  constructor(host: Host, store: Store, { view, book }: { view: View; book: Book }) {
    this.#host = host;
    this.#store = store;
    this.#view = view;
    this.#book = book;
  }

  /** @throws LOCKS_BEHIND */
  async waitFor(revision: number, signal?: AbortSignal): Promise<void> {
    using late = deadline(this.#host.clock, VIEW_WAIT_MS_MAX);
    try {
      await this.#view.waitFor(revision, signal ? AbortSignal.any([signal, late.signal]) : late.signal);
    } catch (cause) {
      throw this.#behind(revision, cause);
    }
  }

  /**
   * Plans from the book and tries on the store, until the store accepts the plan's comparisons.
   * `wrote`: the revision of the writes, or 0 when nothing was written.
   * @throws LOCKS_SESSION_NOT_FOUND, LOCKS_BEHIND, and the error that the plan results in
   */
  async commit<T>(
    ref: LockRef,
    session: string | undefined,
    plan: () => LockPlan<T>,
  ): Promise<{ result: T; wrote: number }> {
    const untilMs = this.#host.clock.monotonic() + VIEW_WAIT_MS_MAX;
    for (;;) {
      const { changed } = this.#book.lock(ref);
      const { when, then, result } = plan();
      const { succeeded, revision } = await this.#try(session, { when, then });
      if (succeeded) {
        if (result instanceof AppError) throw result;
        return { result, wrote: then.length > 0 ? revision : 0 };
      }
      if (this.#host.clock.monotonic() >= untilMs) throw this.#behind(revision, undefined);
      await this.catchUp(ref, { changed, revision });
    }
  }

  /**
   * After another writer was first: resolves when the lock has changed since `changed`, or everything up to `revision` is
   * known.
   */
  async catchUp(ref: LockRef, { changed, revision }: { changed: number; revision: number }): Promise<void> {
    if (this.#book.lock(ref).changed !== changed) return;
    const found = new AbortController();
    const limit = { clock: this.#host.clock, ms: VIEW_WAIT_MS_MAX };
    const news = this.#outdated.wait([lockId(ref)], { limit, signal: found.signal });
    const seen = this.waitFor(revision, found.signal);
    try {
      await Promise.race([news, seen]);
    } finally {
      found.abort();
      await seen.catch(() => {});
    }
  }

  /** Starts the next try of the calls that wait for a change of the lock. */
  noteChange(id: string): void {
    this.#outdated.wake(id);
  }

  noteAllChanged(): void {
    this.#outdated.wakeAll();
  }

  async #try(session: string | undefined, request: Pick<LockPlan<unknown>, "when" | "then">) {
    try {
      return await this.#store.txn(request);
    } catch (cause) {
      if (!StoreErrors.LEASE_NOT_FOUND.is(cause)) throw cause;
      throw LocksErrors.SESSION_NOT_FOUND(
        `The session${session === undefined ? "" : ` "${session}"`} has lapsed or was closed, and its locks were released. Open a new session and ask again.`,
        { cause },
      );
    }
  }

  #behind(revision: number, cause: unknown) {
    return LocksErrors.BEHIND(
      `This server has seen the store up to revision ${this.#view.revision}, not yet ${revision}. Retry; a repeated request does nothing twice.`,
      { cause },
    );
  }
}
