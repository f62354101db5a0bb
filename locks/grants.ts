/**
 * Grants locks that have no holder to the first session in their queue.
 *
 * A lock whose holder ended without a release stays unavailable for its delay. Each member measures the delay by its own
 * clock, from the moment it saw the holder disappear. The member at which the next session waits then grants the lock, and
 * any other member does when that one is away. The store accepts only one of these grants.
 */
import { AppError, fullJitter, messageOf, type CancelTimer, type Host, type TaskGroup } from "#base";
import type { Store } from "#store";
import type { LockRef } from "./api.ts";
import { queueHeadOf, type Book, type LockFacts } from "./core/book.ts";
import { grantDue, grantLock } from "./core/commands.ts";
import { lockId } from "./core/keys.ts";
import type { LockTransactions } from "./transactions.ts";

/**
 * Milliseconds that a member leaves a lock to the member at which its next session waits. A random delay of the same
 * length is added, so that one of many members steps in and the others see that it did.
 */
const STEP_IN_MS = 500;
/** Pauses between tries of a grant while the store does not answer. */
const RETRY = { baseMs: 100, capMs: 5_000 };

interface GrantTimer {
  readonly cancel: CancelTimer;
  readonly atMs: number;
}

export interface LockGrantsParts {
  readonly book: Book;
  readonly transactions: LockTransactions;
  readonly tasks: TaskGroup;
  /** Whether a call of this session waits for the lock at this member. */
  readonly isAwaited: (ref: LockRef, session: string) => boolean;
}

export class LockGrants {
  readonly #host: Host;
  readonly #store: Store;
  readonly #parts: LockGrantsParts;
  /** When this member saw that a lock's holder was gone, on the monotonic clock. The mark identifies the acquisition. */
  readonly #lapses = new Map<string, { readonly mark: number; readonly sinceMs: number }>();
  /** Locks that are due later. */
  readonly #timers = new Map<string, GrantTimer>();
  readonly #granting = new Map<string, Promise<void>>();
  #stopped = false;

  constructor(host: Host, store: Store, parts: LockGrantsParts) {
    this.#host = host;
    this.#store = store;
    this.#parts = parts;
  }

  /** Notes when a holder disappeared, and schedules the grant of a lock without a holder. */
  follow(lock: LockFacts): void {
    const id = lockId(lock.ref);
    const { mark } = lock;
    if (lock.holder || !mark) this.#lapses.delete(id);
    else if (this.#lapses.get(id)?.mark !== mark.modRevision) {
      this.#lapses.set(id, { mark: mark.modRevision, sinceMs: this.#host.clock.monotonic() });
    }
    if (grantDue(lock) === "no") this.#cancel(id);
    else this.#schedule(lock.ref, this.dueMs(lock) + this.#patienceMs(lock));
  }

  /** Forgets all locks but these. */
  keepOnly(ids: ReadonlySet<string>): void {
    for (const id of this.#lapses.keys()) if (!ids.has(id)) this.#lapses.delete(id);
    for (const id of this.#timers.keys()) if (!ids.has(id)) this.#cancel(id);
  }

  /** When the lock may be granted, on the monotonic clock. */
  dueMs({ ref, mark }: LockFacts): number {
    const nowMs = this.#host.clock.monotonic();
    return mark ? (this.#lapses.get(lockId(ref))?.sinceMs ?? nowMs) + mark.lockDelaySeconds * 1000 : nowMs;
  }

  isDue(ref: LockRef): boolean {
    const lock = this.#parts.book.lock(ref);
    return !this.#stopped && grantDue(lock) !== "no" && this.dueMs(lock) <= this.#host.clock.monotonic();
  }

  /** Grants a lock that is due. Calls for the same lock share one try. */
  grant(ref: LockRef): Promise<void> {
    const id = lockId(ref);
    const granting = this.#granting.get(id) ?? this.#grant(ref).finally(() => this.#granting.delete(id));
    this.#granting.set(id, granting);
    return granting;
  }

  /** Grants nothing after this. */
  stop(): void {
    this.#stopped = true;
    for (const { cancel } of this.#timers.values()) cancel();
    this.#timers.clear();
  }

  /** How long this member leaves the grant to others. */
  #patienceMs(lock: LockFacts): number {
    const head = queueHeadOf(lock);
    if (head && this.#parts.isAwaited(lock.ref, head.session)) return 0;
    return STEP_IN_MS * (1 + this.#host.random.float());
  }

  /** Keeps an earlier timer of the lock, which checks again when it fires. */
  #schedule(ref: LockRef, atMs: number): void {
    const id = lockId(ref);
    const current = this.#timers.get(id);
    if (this.#stopped || (current && current.atMs <= atMs)) return;
    this.#cancel(id);
    const ms = Math.max(1, Math.ceil(atMs - this.#host.clock.monotonic()));
    const cancel = this.#host.clock.after(ms, () => {
      this.#timers.delete(id);
      if (this.isDue(ref)) this.#parts.tasks.run("grant a lock", () => this.grant(ref));
      else this.follow(this.#parts.book.lock(ref));
    });
    this.#timers.set(id, { cancel, atMs });
  }

  #cancel(id: string): void {
    this.#timers.get(id)?.cancel();
    this.#timers.delete(id);
  }

  /** Tries until a session has the lock, also while the store does not answer. */
  async #grant(ref: LockRef): Promise<void> {
    const { book, transactions, tasks } = this.#parts;
    for (let failures = 0; this.isDue(ref);) {
      try {
        const lock = book.lock(ref);
        const { changed } = lock;
        const { succeeded, revision } = await this.#store.txn(grantLock(lock, this.#host.clock.now()));
        await (succeeded ? transactions.waitFor(revision) : transactions.catchUp(ref, { changed, revision }));
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        if (failures === 0) {
          this.#host.log.warn({ ...ref, code: error.code }, `lock not granted yet, retrying: ${messageOf(error)}`);
        }
        const pauseMs = fullJitter(this.#host.random, failures++, RETRY);
        await this.#host.clock.sleep(pauseMs, tasks.signal).catch(() => {});
      }
    }
  }
}
