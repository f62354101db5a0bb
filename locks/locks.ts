/**
 * The shell of locks: the book follows the store, commands are planned from it and tried on the store, and news comes
 * back through the store's watch alone. Nothing here asks again and again: whoever waits is woken when the watch says
 * that the lock is theirs, and nobody else is.
 *
 * A lock that is released goes to the next in its queue in the same revision. One whose holder went without a release
 * rests for its delay first, which every member counts by its own clock from when it saw that; the member on which the
 * next one waits then gives it to them, and another one should that member be away. The store lets one of them through.
 */
import { AppError, deadline, fullJitter, messageOf, TaskGroup, type CancelTimer, type Host } from "#base";
import { type IfNoneMatch, longPoll, type Polled, WatchHub } from "#http";
import { StoreErrors, View, type Store } from "#store";
import {
  LOCK_BREAK_SECONDS,
  LOCK_VALUE_BYTES_MAX,
  LOCK_WAITERS_SHOWN,
  LocksErrors,
  type Lock,
  type LockAnswer,
  type LockBroken,
  type LockHolder,
  type LockList,
  type LockRef,
  type LockReleased,
  type LockRequest,
  type LockState,
  type LockSummary,
  type LockWasBroken,
} from "./api.ts";
import { Book, headOf, placeOf, type BreakRecord, type Change, type Holder } from "./core/book.ts";
import type { LockFacts, Mark } from "./core/book.ts";
import { ask, breakLock, due, grant, release, type Plan } from "./core/commands.ts";
import { lockId, LOCKS_PREFIX } from "./core/keys.ts";

/** Milliseconds that a call waits for the view to have what it is about, before it is told that we lag. */
const VIEW_WAIT_MS_MAX = 5_000;
/**
 * Milliseconds that a member leaves a lock to the member on which its next one waits, and as much again by chance, so
 * that of many members one steps in and the others see that it did.
 */
const STEP_IN_MS = 500;
/** Between tries of giving a lock away while the store does not answer. */
const RETRY = { baseMs: 100, capMs: 5_000 };

interface Timer {
  readonly cancel: CancelTimer;
  readonly atMs: number;
}

export interface Wait {
  readonly signal?: AbortSignal;
}

export class Locks implements AsyncDisposable {
  readonly book = new Book();
  readonly hub: WatchHub;
  readonly #host: Host;
  readonly #store: Store;
  readonly #view: View;
  readonly #tasks: TaskGroup;
  /** Calls that wait for their turn, by lock and session. A session that asks twice is answered twice. */
  readonly #turns = new Map<string, Set<() => void>>();
  /** Calls whose plan met a newer state than ours, by lock: the next change is what they wait for. */
  readonly #newer = new Map<string, Set<() => void>>();
  /** Calls that wait for another state of a lock than the one they know. */
  readonly #states = new Map<string, Set<() => void>>();
  /** Since when a lock is missed by its holder, by our monotonic clock; the mark says which acquisition. */
  readonly #missed = new Map<string, { readonly mark: number; readonly sinceMs: number }>();
  /** Locks to be given away, each at its time. */
  readonly #timers = new Map<string, Timer>();
  readonly #giving = new Map<string, Promise<void>>();
  #closed = false;

  constructor(host: Host, store: Store) {
    this.#host = host;
    this.#store = store;
    this.hub = new WatchHub(host, "locks", { ageMs: () => this.ageMs });
    this.#tasks = new TaskGroup(host.log);
    const { metrics } = host;
    const acquired = metrics.counter({
      name: "posthouse_locks_acquired_total",
      help: "Locks acquired, as this member saw it.",
    });
    const lapsed = metrics.counter({
      name: "posthouse_locks_lapsed_total",
      help: "Locks whose holder's session ended while it held them, as this member saw it.",
    });
    metrics.gauge({
      name: "posthouse_locks_held",
      help: "Locks that are held.",
      collect: (gauge) => gauge.labels().set(this.book.held),
    });
    metrics.gauge({
      name: "posthouse_locks_waiting",
      help: "Sessions that wait for a lock; one that waits for two counts twice.",
      collect: (gauge) => gauge.labels().set(this.book.waiting),
    });
    this.#view = new View(host, store, {
      name: "locks",
      prefix: LOCKS_PREFIX,
      reset: (entries, revision) => {
        this.book.reset(entries);
        const known = [...this.book.locks()];
        this.#forget(new Set(known.map(({ ref }) => lockId(ref))));
        for (const lock of known) this.#follow(lock);
        this.hub.reset(revision);
        for (const waiting of [this.#turns, this.#newer, this.#states]) wakeAll(waiting);
      },
      apply: ({ events, revision }) => {
        const changes = this.book.apply(events);
        for (const change of changes) {
          if (change.acquired) acquired.labels().inc();
          if (change.lapsed) lapsed.labels().inc();
          this.#follow(change.lock);
        }
        const told = changes.filter(({ state }) => state);
        this.hub.publish(
          revision,
          told.map(({ lock }) => ({ topics: [lockId(lock.ref)], data: this.#stateOf(lock) })),
        );
        for (const change of changes) this.#wake(change);
      },
    });
  }

  /** Revision up to which the book is complete; 0 before it was first read. */
  get revision(): number {
    return this.#view.revision;
  }

  get connected(): boolean {
    return this.#view.connected;
  }

  /** Milliseconds since the store's last sign of life: what is served is as old as this at most. */
  get ageMs(): number {
    return this.#view.ageMs;
  }

  /** Follows the store. Give it to a TaskGroup. */
  run(signal: AbortSignal): Promise<void> {
    return this.#view.run(signal);
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
   * Asks for a lock: the session holds it when the answer says so, and else has a place in the queue, which it keeps
   * whether or not it goes on asking. Answers as soon as it is acquired, or after `waitSeconds`, or when the signal
   * aborts. Asking again says the same, with the same token.
   * @throws LOCKS_SESSION_NOT_FOUND, LOCKS_VALUE_TOO_LARGE, LOCKS_QUEUE_FULL, LOCKS_BEHIND
   */
  async acquire(ref: LockRef, request: LockRequest, { signal }: Wait = {}): Promise<LockAnswer> {
    const { session, value, lockDelaySeconds, waitSeconds = 0 } = request;
    checkValue(value);
    const untilMs = this.#host.clock.monotonic() + waitSeconds * 1000;
    const asked = () => ask(this.book.lock(ref), { session, value, lockDelaySeconds, nowMs: this.#host.clock.now() });
    const done = await this.#commit(ref, session, asked);
    await this.waitFor(done.wrote);
    for (let tried = false; this.book.lock(ref).queue.has(session);) {
      const lock = this.book.lock(ref);
      const leftMs = untilMs - this.#host.clock.monotonic();
      // First, and nobody has it: take it now, also for a caller who would not wait.
      const mine = headOf(lock)?.session === session && this.#mayGive(ref);
      if ((leftMs <= 0 && (tried || !mine)) || signal?.aborted === true || this.#closed) break;
      const over = new AbortController();
      const turn = this.#sleep(this.#turns, turnId(ref, session), {
        ms: mine ? Math.max(leftMs, VIEW_WAIT_MS_MAX) : leftMs,
        signal: signal ? AbortSignal.any([signal, over.signal]) : over.signal,
      });
      tried ||= mine;
      // The next one waits here now, so we are who gives it away once its time has come.
      if (!mine && due(lock) !== "no") this.#follow(lock);
      await (mine ? Promise.race([this.#giveAway(ref), turn]) : turn);
      over.abort();
    }
    return this.#answer(ref, session);
  }

  /** Lets go of a lock, or leaves its queue. @throws LOCKS_NOT_HELD, LOCKS_BEHIND */
  async release(ref: LockRef, session: string): Promise<LockReleased> {
    const { result, wrote } = await this.#commit(ref, session, () =>
      release(this.book.lock(ref), { session, nowMs: this.#host.clock.now() }),
    );
    return { was: result, revision: wrote };
  }

  /** Takes a lock from its holder, whoever that is; its delay then runs. @throws LOCKS_NOT_HELD, LOCKS_BEHIND */
  async break(ref: LockRef, { by, reason }: { by: string; reason: string }): Promise<LockWasBroken> {
    const lease = await this.#store.grant(LOCK_BREAK_SECONDS);
    try {
      const { result, wrote } = await this.#commit(ref, undefined, () =>
        breakLock(this.book.lock(ref), { by, reason, nowMs: this.#host.clock.now(), lease: lease.id }),
      );
      this.#host.log.warn({ ...ref, by, reason, token: result.token, session: result.session }, "lock broken");
      return { revision: wrote, broken: brokenOf(result) };
    } catch (error) {
      await this.#store.revoke(lease.id).catch(() => {});
      throw error;
    }
  }

  /** One lock as it stands; also one that nobody ever asked for. */
  get(ref: LockRef): Lock {
    const lock = this.book.lock(ref);
    const waiters = [...lock.queue.values()].slice(0, LOCK_WAITERS_SHOWN).map(({ session, value, sinceMs }) => ({
      session,
      ...(value === undefined ? {} : { value }),
      since: timeOf(sinceMs),
    }));
    return {
      ...this.#stateOf(lock),
      revision: this.revision,
      waiting: lock.queue.size,
      waiters,
      ...(lock.broken ? { broken: brokenOf(lock.broken) } : {}),
    };
  }

  /** What changes for those that follow a lock. */
  state(ref: LockRef): LockState {
    return this.#stateOf(this.book.lock(ref));
  }

  /** A word that differs when the state does: who holds it with which value, or whether it rests. */
  tag(ref: LockRef): string {
    const { holder, mark } = this.book.lock(ref);
    return `${mark?.modRevision ?? 0}-${holder?.modRevision ?? 0}`;
  }

  /** A lock, as soon as it is in another state than the caller has. */
  async poll(
    ref: LockRef,
    { known, waitMs, signal }: { known: IfNoneMatch | undefined; waitMs: number; signal: AbortSignal },
  ): Promise<Polled<Lock> & { readonly isKnown: boolean }> {
    return longPoll(this.#host.clock, {
      read: () => ({ state: this.get(ref), tag: this.tag(ref) }),
      next: async (ms, signal) => {
        const untilMs = this.#host.clock.monotonic() + ms;
        await this.#sleep(this.#states, lockId(ref), { ms, signal });
        return !this.#closed && !signal.aborted && this.#host.clock.monotonic() < untilMs;
      },
      known,
      waitMs,
      signal,
    });
  }

  /** Locks of a namespace whose names begin so, in order of name, after one. */
  list(query: { namespace: string; prefix: string; after: string | undefined; limit: number }): LockList {
    const found: LockFacts[] = [];
    for (const lock of this.book.locks()) {
      const { namespace, name } = lock.ref;
      if (namespace !== query.namespace || !name.startsWith(query.prefix)) continue;
      if (query.after === undefined || name > query.after) found.push(lock);
    }
    found.sort((a, b) => (a.ref.name < b.ref.name ? -1 : 1));
    const page = found.slice(0, query.limit);
    const locks = page.map((lock): LockSummary => ({ ...this.#stateOf(lock), waiting: lock.queue.size }));
    const last = page.at(-1);
    return { revision: this.revision, locks, ...(found.length > page.length && last ? { next: last.ref.name } : {}) };
  }

  /** Answers all that wait, and gives nothing away any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const { cancel } of this.#timers.values()) cancel();
    this.#timers.clear();
    for (const waiting of [this.#turns, this.#newer, this.#states]) wakeAll(waiting);
    await this.hub[Symbol.asyncDispose]();
    await this.#tasks[Symbol.asyncDispose]();
  }

  /**
   * Plans from the book and tries on the store, until the store says that the plan was right.
   * `wrote`: the revision of the writes, or 0 when nothing was written.
   */
  async #commit<T>(
    ref: LockRef,
    session: string | undefined,
    plan: () => Plan<T>,
  ): Promise<{ result: T; wrote: number }> {
    const untilMs = this.#host.clock.monotonic() + VIEW_WAIT_MS_MAX;
    for (;;) {
      const { changed } = this.book.lock(ref);
      const { when, then, result } = plan();
      const { succeeded, revision } = await this.#try(session, { when, then });
      if (succeeded) {
        if (result instanceof AppError) throw result;
        return { result, wrote: then.length > 0 ? revision : 0 };
      }
      if (this.#host.clock.monotonic() >= untilMs) throw this.#behind(revision, undefined);
      await this.#catchUp(ref, { changed, revision });
    }
  }

  async #try(session: string | undefined, request: Pick<Plan<unknown>, "when" | "then">) {
    try {
      return await this.#store.txn(request);
    } catch (cause) {
      if (!StoreErrors.LEASE_NOT_FOUND.is(cause)) throw cause;
      throw LocksErrors.SESSION_NOT_FOUND(
        `The session${session === undefined ? "" : ` "${session}"`} has lapsed or was closed, and what it held with it. Open a new one and ask again.`,
        { cause },
      );
    }
  }

  /**
   * Somebody was first, and what they did is on its way, if it is not here already: resolves when the lock is another
   * than the one that changed last at `changed`, or all up to `revision` is known.
   */
  async #catchUp(ref: LockRef, { changed, revision }: { changed: number; revision: number }): Promise<void> {
    if (this.book.lock(ref).changed !== changed) return;
    const found = new AbortController();
    const news = this.#sleep(this.#newer, lockId(ref), { ms: VIEW_WAIT_MS_MAX, signal: found.signal });
    const seen = this.waitFor(revision, found.signal);
    try {
      await Promise.race([news, seen]);
    } finally {
      found.abort();
      await seen.catch(() => {});
    }
  }

  /** Waits in a place until it is woken. */
  #sleep(
    places: Map<string, Set<() => void>>,
    key: string,
    { ms, signal }: { ms: number; signal?: AbortSignal | undefined },
  ): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        cancel();
        signal?.removeEventListener("abort", wake);
        const set = places.get(key);
        set?.delete(wake);
        if (set?.size === 0) places.delete(key);
        resolve();
      };
      const cancel = this.#host.clock.after(ms, wake);
      places.set(key, (places.get(key) ?? new Set()).add(wake));
      if (signal?.aborted) wake();
      else signal?.addEventListener("abort", wake, { once: true });
    });
  }

  /** Wakes those whom a change is about, and of the queue only the one whose turn has come. */
  #wake({ lock, state, left }: Change): void {
    const id = lockId(lock.ref);
    wakePlace(this.#newer, id);
    if (state) wakePlace(this.#states, id);
    for (const session of left) wakePlace(this.#turns, turnId(lock.ref, session));
  }

  /** Notes that a holder is missed, and sees to it that the lock is given away in time. */
  #follow(lock: LockFacts): void {
    const id = lockId(lock.ref);
    const { mark } = lock;
    if (lock.holder || !mark) this.#missed.delete(id);
    else if (this.#missed.get(id)?.mark !== mark.modRevision) {
      this.#missed.set(id, { mark: mark.modRevision, sinceMs: this.#host.clock.monotonic() });
    }
    if (due(lock) === "no") this.#cancel(id);
    else this.#schedule(lock.ref, this.#dueMs(lock) + this.#patienceMs(lock));
  }

  /** When the lock may be given away, by our monotonic clock. */
  #dueMs({ ref, mark }: LockFacts): number {
    const nowMs = this.#host.clock.monotonic();
    return mark ? (this.#missed.get(lockId(ref))?.sinceMs ?? nowMs) + mark.lockDelaySeconds * 1000 : nowMs;
  }

  /** How long we leave it to others. */
  #patienceMs(lock: LockFacts): number {
    const head = headOf(lock);
    if (head && this.#turns.has(turnId(lock.ref, head.session))) return 0;
    return STEP_IN_MS * (1 + this.#host.random.float());
  }

  /** What is to happen sooner already stays as it is: it looks again at its time. */
  #schedule(ref: LockRef, atMs: number): void {
    const id = lockId(ref);
    const standing = this.#timers.get(id);
    if (this.#closed || (standing && standing.atMs <= atMs)) return;
    this.#cancel(id);
    const ms = Math.max(1, Math.ceil(atMs - this.#host.clock.monotonic()));
    const cancel = this.#host.clock.after(ms, () => {
      this.#timers.delete(id);
      if (this.#mayGive(ref)) this.#tasks.run("give a lock away", () => this.#giveAway(ref));
      else this.#follow(this.book.lock(ref));
    });
    this.#timers.set(id, { cancel, atMs });
  }

  #cancel(id: string): void {
    this.#timers.get(id)?.cancel();
    this.#timers.delete(id);
  }

  /** Drops what is remembered of locks that are not among these. */
  #forget(known: ReadonlySet<string>): void {
    for (const id of this.#missed.keys()) if (!known.has(id)) this.#missed.delete(id);
    for (const id of this.#timers.keys()) if (!known.has(id)) this.#cancel(id);
  }

  #mayGive(ref: LockRef): boolean {
    const lock = this.book.lock(ref);
    return !this.#closed && due(lock) !== "no" && this.#dueMs(lock) <= this.#host.clock.monotonic();
  }

  /** Gives a lock whose time has come to the first in its queue, once however many ask for it. */
  #giveAway(ref: LockRef): Promise<void> {
    const id = lockId(ref);
    const giving = this.#giving.get(id) ?? this.#give(ref).finally(() => this.#giving.delete(id));
    this.#giving.set(id, giving);
    return giving;
  }

  /** Tries until somebody has it, also while the store does not answer. */
  async #give(ref: LockRef): Promise<void> {
    for (let failures = 0; this.#mayGive(ref);) {
      try {
        const lock = this.book.lock(ref);
        const { changed } = lock;
        const { succeeded, revision } = await this.#store.txn(grant(lock, this.#host.clock.now()));
        await (succeeded ? this.waitFor(revision) : this.#catchUp(ref, { changed, revision }));
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        if (failures === 0) this.#host.log.warn({ ...ref, code: error.code }, `not given away: ${messageOf(error)}`);
        const pauseMs = fullJitter(this.#host.random, failures++, RETRY);
        await this.#host.clock.sleep(pauseMs, this.#tasks.signal).catch(() => {});
      }
    }
  }

  #stateOf({ ref, holder, mark, ...lock }: LockFacts): LockState {
    const { namespace, name } = ref;
    if (holder) return { namespace, name, holder: holderOf(holder, mark) };
    if (!mark) return { namespace, name };
    const leftMs = this.#dueMs({ ref, holder, mark, ...lock }) - this.#host.clock.monotonic();
    return { namespace, name, delayedUntil: timeOf(this.#host.clock.now() + Math.max(0, leftMs)) };
  }

  #answer(ref: LockRef, session: string): LockAnswer {
    const lock = this.book.lock(ref);
    const state = { ...this.#stateOf(lock), revision: this.revision };
    if (lock.holder?.session === session) return { ...state, acquired: true, token: lock.mark?.modRevision ?? 0 };
    const place = placeOf(lock, session);
    return { ...state, acquired: false, ...(place > 0 ? { place } : {}) };
  }

  #behind(revision: number, cause: unknown) {
    return LocksErrors.BEHIND(
      `This server has seen the store up to revision ${this.revision}, not yet ${revision}. Ask again; nothing is done twice.`,
      { cause },
    );
  }
}

function checkValue(value: string | undefined): void {
  const bytes = Buffer.byteLength(value ?? "", "utf8");
  if (bytes <= LOCK_VALUE_BYTES_MAX) return;
  throw LocksErrors.VALUE_TOO_LARGE(
    `The value has ${bytes} bytes; at most ${LOCK_VALUE_BYTES_MAX} are kept. Keep the rest elsewhere, and its address here.`,
    { extra: { field: "/value" } },
  );
}

function turnId(ref: LockRef, session: string): string {
  return `${lockId(ref)} ${session}`;
}

function wakePlace(places: Map<string, Set<() => void>>, key: string): void {
  for (const wake of places.get(key) ?? []) wake();
}

function wakeAll(places: Map<string, Set<() => void>>): void {
  for (const key of places.keys()) wakePlace(places, key);
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}

function holderOf({ session, value }: Holder, mark: Mark | undefined): LockHolder {
  return {
    session,
    ...(value === undefined ? {} : { value }),
    token: mark?.modRevision ?? 0,
    since: timeOf(mark?.sinceMs ?? 0),
    lockDelaySeconds: mark?.lockDelaySeconds ?? 0,
  };
}

function brokenOf({ by, reason, session, token, atMs }: BreakRecord): LockBroken {
  return { by, reason, session, token, at: timeOf(atMs) };
}
