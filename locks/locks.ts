/**
 * The shell of locks. The book follows the store, commands are planned from it and tried on the store, and changes come
 * back through the store's watch alone. Nothing is polled: a waiting call is woken when the watch shows that its session
 * has the lock, and no other call is.
 *
 * A lock that is released goes to the next session in its queue in the same revision. A lock whose holder ended without a
 * release goes there after its delay (`grants.ts`).
 */
import { KeyedWaiters, TaskGroup, type Host } from "#base";
import { type IfNoneMatch, longPoll, type Polled, WatchHub } from "#http";
import { View, type Store } from "#store";
import {
  LOCK_BREAK_SECONDS,
  LOCK_VALUE_BYTES_MAX,
  LocksErrors,
  type Lock,
  type LockAnswer,
  type LockList,
  type LockRef,
  type LockReleased,
  type LockRequest,
  type LockState,
  type LockSummary,
  type LockWasBroken,
} from "./api.ts";
import { Book, queueHeadOf, type LockChange, type LockFacts } from "./core/book.ts";
import { breakLock, grantDue, releaseLock, requestLock } from "./core/commands.ts";
import { lockId, LOCKS_PREFIX } from "./core/keys.ts";
import { brokenView, lockAnswerView, lockStateTag, lockStateView, lockView } from "./core/views.ts";
import { LockGrants } from "./grants.ts";
import { LockTransactions, VIEW_WAIT_MS_MAX } from "./transactions.ts";

export interface AcquireOptions {
  /** Ends the wait. */
  readonly signal?: AbortSignal;
}

export class Locks implements AsyncDisposable {
  readonly book = new Book();
  readonly hub: WatchHub;
  readonly #host: Host;
  readonly #store: Store;
  readonly #view: View;
  readonly #tasks: TaskGroup;
  readonly #transactions: LockTransactions;
  readonly #grants: LockGrants;
  /** Calls that wait for their turn, by lock and session. A session may have several. */
  readonly #turns = new KeyedWaiters();
  /** Calls that wait until a lock leaves the state that they know. */
  readonly #states = new KeyedWaiters();
  #closed = false;

  constructor(host: Host, store: Store) {
    this.#host = host;
    this.#store = store;
    this.hub = new WatchHub(host, "locks", { ageMs: () => this.ageMs });
    this.#tasks = new TaskGroup(host.log);
    const count = countChanges(host, this.book);
    this.#view = new View(host, store, {
      name: "locks",
      prefix: LOCKS_PREFIX,
      reset: (entries, revision) => {
        this.book.reset(entries);
        const known = [...this.book.locks()];
        this.#grants.keepOnly(new Set(known.map(({ ref }) => lockId(ref))));
        for (const lock of known) this.#grants.follow(lock);
        this.hub.reset(revision);
        this.#wakeAll();
      },
      apply: ({ events, revision }) => {
        const changes = this.book.apply(events);
        for (const change of changes) {
          count(change);
          this.#grants.follow(change.lock);
        }
        const visible = changes.filter(({ state }) => state);
        this.hub.publish(
          revision,
          visible.map(({ lock }) => ({ topics: [lockId(lock.ref)], data: this.#stateOf(lock) })),
        );
        for (const change of changes) this.#wake(change);
      },
    });
    this.#transactions = new LockTransactions(host, store, { view: this.#view, book: this.book });
    this.#grants = new LockGrants(host, store, {
      book: this.book,
      transactions: this.#transactions,
      tasks: this.#tasks,
      isAwaited: (ref, session) => this.#turns.has(turnId(ref, session)),
    });
  }

  /** Revision up to which the book is complete; 0 before it was first read. */
  get revision(): number {
    return this.#view.revision;
  }

  get connected(): boolean {
    return this.#view.connected;
  }

  /** Milliseconds since the store's last sign of life: the book is at most this old. */
  get ageMs(): number {
    return this.#view.ageMs;
  }

  /** Follows the store. Give it to a TaskGroup. */
  run(signal: AbortSignal): Promise<void> {
    return this.#view.run(signal);
  }

  /** @throws LOCKS_BEHIND */
  waitFor(revision: number, signal?: AbortSignal): Promise<void> {
    return this.#transactions.waitFor(revision, signal);
  }

  /**
   * Asks for a lock. The session then either holds it or has a place in the queue, which it keeps whether or not it asks
   * again. Returns as soon as the lock is acquired, or after `waitSeconds`, or when the signal aborts. Asking again returns
   * the same, with the same token.
   * @throws LOCKS_SESSION_NOT_FOUND, LOCKS_VALUE_TOO_LARGE, LOCKS_QUEUE_FULL, LOCKS_BEHIND
   */
  async acquire(ref: LockRef, request: LockRequest, { signal }: AcquireOptions = {}): Promise<LockAnswer> {
    const { session, value, lockDelaySeconds, waitSeconds = 0 } = request;
    requireShortValue(value);
    const { clock } = this.#host;
    const untilMs = clock.monotonic() + waitSeconds * 1000;
    const done = await this.#transactions.commit(ref, session, () =>
      requestLock(this.book.lock(ref), { session, value, lockDelaySeconds, nowMs: clock.now() }),
    );
    await this.waitFor(done.wrote);
    for (let tried = false; this.book.lock(ref).queue.has(session);) {
      const lock = this.book.lock(ref);
      const leftMs = untilMs - clock.monotonic();
      // This session is first and the lock has no holder: take it now, also for a call that does not wait.
      const isMine = queueHeadOf(lock)?.session === session && this.#grants.isDue(ref);
      if ((leftMs <= 0 && (tried || !isMine)) || signal?.aborted === true || this.#closed) break;
      const over = new AbortController();
      const turn = this.#turns.wait([turnId(ref, session)], {
        limit: { clock, ms: isMine ? Math.max(leftMs, VIEW_WAIT_MS_MAX) : leftMs },
        signal: signal ? AbortSignal.any([signal, over.signal]) : over.signal,
      });
      tried ||= isMine;
      // The next session now waits at this member, so this member grants the lock as soon as it is due.
      if (!isMine && grantDue(lock) !== "no") this.#grants.follow(lock);
      await (isMine ? Promise.race([this.#grants.grant(ref), turn]) : turn);
      over.abort();
    }
    const lock = this.book.lock(ref);
    return lockAnswerView(lock, session, { state: this.#stateOf(lock), revision: this.revision });
  }

  /** Releases a lock, or leaves its queue. @throws LOCKS_NOT_HELD, LOCKS_BEHIND */
  async release(ref: LockRef, session: string): Promise<LockReleased> {
    const { result, wrote } = await this.#transactions.commit(ref, session, () =>
      releaseLock(this.book.lock(ref), { session, nowMs: this.#host.clock.now() }),
    );
    return { was: result, revision: wrote };
  }

  /** Takes a lock from its holder, whichever session that is. The delay then runs. @throws LOCKS_NOT_HELD, LOCKS_BEHIND */
  async break(ref: LockRef, { by, reason }: { by: string; reason: string }): Promise<LockWasBroken> {
    const lease = await this.#store.grant(LOCK_BREAK_SECONDS);
    try {
      const { result, wrote } = await this.#transactions.commit(ref, undefined, () =>
        breakLock(this.book.lock(ref), { by, reason, nowMs: this.#host.clock.now(), lease: lease.id }),
      );
      this.#host.log.warn({ ...ref, by, reason, fencing: result.token, session: result.session }, "lock broken");
      return { revision: wrote, broken: brokenView(result) };
    } catch (error) {
      await this.#store.revoke(lease.id).catch(() => {});
      throw error;
    }
  }

  /** A lock as it is now, even if no session has ever asked for it. */
  get(ref: LockRef): Lock {
    const lock = this.book.lock(ref);
    return lockView(lock, this.#stateOf(lock), this.revision);
  }

  /** The part of a lock that its watchers see: everything but the queue. */
  state(ref: LockRef): LockState {
    return this.#stateOf(this.book.lock(ref));
  }

  /** A lock, as soon as its state differs from the one that the caller has. */
  async poll(
    ref: LockRef,
    { known, waitMs, signal }: { known: IfNoneMatch | undefined; waitMs: number; signal: AbortSignal },
  ): Promise<Polled<Lock> & { readonly isKnown: boolean }> {
    const { clock } = this.#host;
    return longPoll(clock, {
      read: () => ({ state: this.get(ref), tag: lockStateTag(this.book.lock(ref)) }),
      next: async (ms, signal) => {
        const end = await this.#states.wait([lockId(ref)], { limit: { clock, ms }, signal });
        return end === "woken" && !this.#closed;
      },
      known,
      waitMs,
      signal,
    });
  }

  /** Locks of a namespace whose names start with a prefix, in order of name, after one name. */
  list(query: {
    namespace: string;
    prefix: string;
    after: string | undefined;
    limit: number;
    /** Absent: every lock. */
    sees?: (name: string) => boolean;
  }): LockList {
    const found: LockFacts[] = [];
    for (const lock of this.book.locks()) {
      const { namespace, name } = lock.ref;
      if (namespace !== query.namespace || !name.startsWith(query.prefix) || query.sees?.(name) === false) continue;
      if (query.after === undefined || name > query.after) found.push(lock);
    }
    found.sort((a, b) => (a.ref.name < b.ref.name ? -1 : 1));
    const page = found.slice(0, query.limit);
    const locks = page.map((lock): LockSummary => ({ ...this.#stateOf(lock), waiting: lock.queue.size }));
    const last = page.at(-1);
    return { revision: this.revision, locks, ...(found.length > page.length && last ? { next: last.ref.name } : {}) };
  }

  /** Answers all waiting calls, and grants nothing after that. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#grants.stop();
    this.#wakeAll();
    await this.hub[Symbol.asyncDispose]();
    await this.#tasks[Symbol.asyncDispose]();
  }

  #stateOf(lock: LockFacts): LockState {
    const { clock } = this.#host;
    const leftMs = this.#grants.dueMs(lock) - clock.monotonic();
    return lockStateView(lock, clock.now() + Math.max(0, leftMs));
  }

  /** Wakes the calls that a change concerns. Of the queue, these are the sessions that left it. */
  #wake({ lock, state, left }: LockChange): void {
    const id = lockId(lock.ref);
    this.#transactions.noteChange(id);
    if (state) this.#states.wake(id);
    for (const session of left) this.#turns.wake(turnId(lock.ref, session));
  }

  #wakeAll(): void {
    this.#turns.wakeAll();
    this.#transactions.noteAllChanged();
    this.#states.wakeAll();
  }
}

/** Registers the metrics of locks, and returns the function that counts a change. */
function countChanges({ metrics }: Host, book: Book): (change: LockChange) => void {
  const acquired = metrics.counter({
    name: "posthouse_locks_acquired_total",
    help: "Locks acquired, as seen by this member.",
  });
  const lapsed = metrics.counter({
    name: "posthouse_locks_lapsed_total",
    help: "Locks whose holder's session ended while it held them, as seen by this member.",
  });
  metrics.gauge({
    name: "posthouse_locks_held",
    help: "Locks that are held.",
    collect: (gauge) => gauge.labels().set(book.held),
  });
  metrics.gauge({
    name: "posthouse_locks_waiting",
    help: "Sessions that wait for a lock. A session that waits for two locks counts twice.",
    collect: (gauge) => gauge.labels().set(book.waiting),
  });
  return (change) => {
    if (change.acquired) acquired.labels().inc();
    if (change.lapsed) lapsed.labels().inc();
  };
}

function requireShortValue(value: string | undefined): void {
  const bytes = Buffer.byteLength(value ?? "", "utf8");
  if (bytes <= LOCK_VALUE_BYTES_MAX) return;
  throw LocksErrors.VALUE_TOO_LARGE(
    `The value has ${bytes} bytes; the limit is ${LOCK_VALUE_BYTES_MAX}. Store the rest elsewhere, and its address here.`,
    { extra: { field: "/value" } },
  );
}

function turnId(ref: LockRef, session: string): string {
  return `${lockId(ref)} ${session}`;
}
