/**
 * The book of all locks: the store's entries go in, in order, and the holder, mark and queue of each lock come out. It
 * decides nothing and reads no clock.
 */
import { costlyInvariant, decodeJson, invariant } from "#base";
import type { LockRef } from "../api.ts";
import { lockId, parseLockKey } from "./keys.ts";

/** An entry of the store, with the fields that the book needs. */
export interface BookEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly lease?: string;
}
export type BookEvent =
  | { readonly type: "put"; readonly entry: BookEntry }
  | { readonly type: "delete"; readonly key: string; readonly modRevision: number };

/** The value of a stored holder. Its session is the lease that it is attached to. */
export interface HolderRecord {
  readonly value?: string;
}
export interface MarkRecord {
  readonly session: string;
  readonly lockDelaySeconds: number;
  /** Milliseconds since 1970, for people. */
  readonly sinceMs: number;
}
export interface WaiterRecord {
  readonly value?: string;
  readonly lockDelaySeconds: number;
  readonly sinceMs: number;
}
export interface BreakRecord {
  readonly by: string;
  readonly reason: string;
  readonly session: string;
  readonly token: number;
  readonly atMs: number;
}

export interface Holder extends HolderRecord {
  readonly session: string;
  readonly modRevision: number;
}
/** `modRevision` is the token of its acquisition. */
export interface Mark extends MarkRecord {
  readonly modRevision: number;
}
export interface Waiter extends WaiterRecord {
  readonly session: string;
  readonly createRevision: number;
  readonly modRevision: number;
}

/**
 * One lock, as of the last revision that changed it. A free lock has neither holder nor mark, and a held one has both. A
 * lapsed or broken one has only a mark, and its delay runs.
 */
export interface LockFacts {
  readonly ref: LockRef;
  readonly holder: Holder | undefined;
  readonly mark: Mark | undefined;
  /** By session, in the order of their requests. */
  readonly queue: ReadonlyMap<string, Waiter>;
  readonly broken: BreakRecord | undefined;
  /** Revision of its last change, of whatever kind; 0 without any. */
  readonly changed: number;
}

/** The effect of a batch of events on one lock. */
export interface LockChange {
  readonly lock: LockFacts;
  /** Holder, value or delay changed, which watchers receive. A change of the queue alone does not count. */
  readonly state: boolean;
  readonly acquired: boolean;
  /** The holder ended without a release, and no operator broke the lock. */
  readonly lapsed: boolean;
  /** Sessions that no longer wait: they acquired the lock, gave up, or ended. */
  readonly left: readonly string[];
}

type Draft = { -readonly [Key in keyof LockFacts]: LockFacts[Key] } & { queue: Map<string, Waiter> };

export class Book {
  readonly #locks = new Map<string, Draft>();
  #held = 0;
  #waiting = 0;

  get held(): number {
    return this.#held;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** A lock, even if no session has ever asked for it. */
  lock(ref: LockRef): LockFacts {
    return this.#locks.get(lockId(ref)) ?? empty(ref);
  }

  /** All locks that are held, waited for, delayed or were broken lately, in no order. */
  locks(): Iterable<LockFacts> {
    return this.#locks.values();
  }

  /** Replaces everything by these entries. */
  reset(entries: readonly BookEntry[]): void {
    this.#locks.clear();
    this.#held = 0;
    this.#waiting = 0;
    // Filling a queue in the order of creation keeps it in that order.
    const sorted = [...entries].sort((a, b) => a.createRevision - b.createRevision);
    this.apply(sorted.map((entry) => ({ type: "put", entry })));
  }

  /** Applies whole revisions, each once and in order. */
  apply(events: readonly BookEvent[]): LockChange[] {
    const before = new Map<string, LockFacts & { left: string[] }>();
    for (const event of events) {
      const key = event.type === "put" ? event.entry.key : event.key;
      const parsed = parseLockKey(key);
      if (!parsed) continue;
      const id = lockId(parsed.lock);
      const lock = this.#locks.get(id) ?? empty(parsed.lock);
      if (!before.has(id)) before.set(id, { ...lock, left: [] });
      this.#locks.set(id, lock);
      lock.changed = Math.max(lock.changed, event.type === "put" ? event.entry.modRevision : event.modRevision);
      const entry = event.type === "put" ? event.entry : undefined;
      if (parsed.kind === "holder") this.#hold(lock, entry);
      else if (parsed.kind === "mark") lock.mark = entry && { ...decodeJson<MarkRecord>(entry.value), ...at(entry) };
      else if (parsed.kind === "break") lock.broken = entry && decodeJson<BreakRecord>(entry.value);
      else if (parsed.kind === "waiter") {
        this.#queue(lock, parsed.session, entry);
        if (!entry) before.get(id)?.left.push(parsed.session);
      }
    }
    return [...before].map(([id, was]) => {
      const lock = this.#locks.get(id) as Draft;
      checkLock(lock);
      if (!lock.holder && !lock.mark && !lock.broken && lock.queue.size === 0) this.#locks.delete(id);
      return {
        lock,
        state: was.holder !== lock.holder || was.mark !== lock.mark,
        acquired: lock.holder !== undefined && was.mark?.modRevision !== lock.mark?.modRevision,
        lapsed: was.holder !== undefined && !lock.holder && lock.mark !== undefined && was.broken === lock.broken,
        left: was.left,
      };
    });
  }

  #hold(lock: Draft, entry: BookEntry | undefined): void {
    this.#held += (entry ? 1 : 0) - (lock.holder ? 1 : 0);
    invariant(this.#held >= 0, "the number of held locks is not negative");
    lock.holder = entry && {
      ...decodeJson<HolderRecord>(entry.value),
      session: entry.lease ?? "",
      modRevision: entry.modRevision,
    };
  }

  #queue(lock: Draft, session: string, entry: BookEntry | undefined): void {
    this.#waiting -= lock.queue.size;
    if (!entry) lock.queue.delete(session);
    else {
      // An updated waiter keeps its place. One that left was deleted before, so it comes back at the end.
      lock.queue.set(session, {
        ...decodeJson<WaiterRecord>(entry.value),
        session,
        createRevision: entry.createRevision,
        modRevision: entry.modRevision,
      });
    }
    this.#waiting += lock.queue.size;
    invariant(this.#waiting >= lock.queue.size, "all waiting sessions include those of each queue");
  }
}

/** The next session of the queue. */
export function queueHeadOf({ queue }: LockFacts): Waiter | undefined {
  return queue.values().next().value;
}

/** Place of a session in the queue, from 1; 0 when it does not wait. */
export function queuePlaceOf({ queue }: LockFacts, session: string): number {
  if (!queue.has(session)) return 0;
  let place = 1;
  for (const waiting of queue.keys()) {
    if (waiting === session) break;
    place++;
  }
  return place;
}

/** Holds after every whole revision. */
function checkLock({ holder, mark, queue, changed }: LockFacts): void {
  invariant(
    (holder?.modRevision ?? 0) <= changed && (mark?.modRevision ?? 0) <= changed,
    "a lock is as new as its holder and its mark",
  );
  costlyInvariant(() => {
    const created = [...queue.values()].map(({ createRevision }) => createRevision);
    return created.every((revision, place) => place === 0 || revision >= (created[place - 1] ?? 0));
  }, "a lock's queue is in the order of creation");
}

function at({ modRevision }: BookEntry): { modRevision: number } {
  return { modRevision };
}

function empty(ref: LockRef): Draft {
  return { ref, holder: undefined, mark: undefined, queue: new Map(), broken: undefined, changed: 0 };
}
