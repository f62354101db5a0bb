/**
 * The book of all locks: the store's entries go in, in order; who holds what, who waits and since when a holder is
 * missed comes out. It decides nothing and knows no time of its own.
 */
import { decodeJson } from "#base";
import type { LockRef } from "../api.ts";
import { lockId, parseKey } from "./keys.ts";

/** An entry of the store, as far as it matters here. */
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

/** What stands in the store; the session is the lease that it hangs on. */
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
/** `modRevision` is the token of the acquisition that it was written with. */
export interface Mark extends MarkRecord {
  readonly modRevision: number;
}
export interface Waiter extends WaiterRecord {
  readonly session: string;
  readonly createRevision: number;
  readonly modRevision: number;
}

/**
 * One lock, as of the last revision that touched it. Free: neither holder nor mark. Held: both. Lapsed, or broken: a
 * mark alone, and the delay runs.
 */
export interface LockFacts {
  readonly ref: LockRef;
  readonly holder: Holder | undefined;
  readonly mark: Mark | undefined;
  /** In order of asking. */
  readonly queue: ReadonlyMap<string, Waiter>;
  readonly broken: BreakRecord | undefined;
  /** Of the last change of anything about it; 0 when nothing is known of it. */
  readonly changed: number;
}

/** What a batch of events meant for one lock. */
export interface Change {
  readonly lock: LockFacts;
  /** Holder, value or delay changed: those that follow the lock want to know. The queue alone does not count. */
  readonly state: boolean;
  readonly acquired: boolean;
  /** The holder went without a release, and nobody took it from it. */
  readonly lapsed: boolean;
  /** Sessions that wait no longer: they hold the lock now, or gave up, or ended. */
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

  /** A lock, also one that nobody has asked for yet. */
  lock(ref: LockRef): LockFacts {
    return this.#locks.get(lockId(ref)) ?? empty(ref);
  }

  /** All that are held, waited for, resting or remembered as broken; in no order. */
  locks(): Iterable<LockFacts> {
    return this.#locks.values();
  }

  /** Forgets all and begins with these. */
  reset(entries: readonly BookEntry[]): void {
    this.#locks.clear();
    this.#held = 0;
    this.#waiting = 0;
    // Queues are kept in order of creation by being filled in it.
    const sorted = [...entries].sort((a, b) => a.createRevision - b.createRevision);
    this.apply(sorted.map((entry) => ({ type: "put", entry })));
  }

  /** Takes whole revisions, each once and in order. */
  apply(events: readonly BookEvent[]): Change[] {
    const before = new Map<string, LockFacts & { left: string[] }>();
    for (const event of events) {
      const key = event.type === "put" ? event.entry.key : event.key;
      const parsed = parseKey(key);
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
      // Who says something else keeps its place; who left, which was told before, and comes back stands at the end.
      lock.queue.set(session, {
        ...decodeJson<WaiterRecord>(entry.value),
        session,
        createRevision: entry.createRevision,
        modRevision: entry.modRevision,
      });
    }
    this.#waiting += lock.queue.size;
  }
}

/** Who is next. */
export function headOf({ queue }: LockFacts): Waiter | undefined {
  return queue.values().next().value;
}

/** Place of a session in the queue, from 1; 0 when it does not wait. */
export function placeOf({ queue }: LockFacts, session: string): number {
  if (!queue.has(session)) return 0;
  let place = 1;
  for (const waiting of queue.keys()) {
    if (waiting === session) break;
    place++;
  }
  return place;
}

function at({ modRevision }: BookEntry): { modRevision: number } {
  return { modRevision };
}

function empty(ref: LockRef): Draft {
  return { ref, holder: undefined, mark: undefined, queue: new Map(), broken: undefined, changed: 0 };
}
