/**
 * Commands on a lock become transactions. What is known of the lock and a command go in; the comparisons under which the
 * decision is right, the writes, and the answer come out. A refusal and an answer without writes are compared, too: what
 * is known may be old, and then the command is planned again.
 *
 * Everybody queues, and the first in the queue takes a lock that is free. An entry's place is its revision of creation,
 * so nobody can come in before one who is first and still there: comparing those two keys proves both order and
 * exclusion, however old the book is. The holder's key is put only where it is compared to be absent, or to be the
 * releaser's own.
 */
import { encodeJson, type AppError } from "#base";
import { LOCK_DELAY_SECONDS, LOCK_WAITERS_MAX, LocksErrors } from "../api.ts";
import { headOf, type BreakRecord, type HolderRecord, type LockFacts, type MarkRecord } from "./book.ts";
import type { Waiter, WaiterRecord } from "./book.ts";
import { breakKey, holderKey, markKey, waiterKey } from "./keys.ts";

export interface Condition {
  readonly key: string;
  readonly target: "modRevision" | "createRevision";
  readonly is: "equal";
  readonly value: number;
}
export type Write =
  | { readonly type: "put"; readonly key: string; readonly value: Uint8Array; readonly lease?: string }
  | { readonly type: "delete"; readonly key: string };

export interface Plan<Result> {
  readonly when: readonly Condition[];
  readonly then: readonly Write[];
  /** What to answer once it is done, or that which is refused when the comparisons hold. */
  readonly result: Result | AppError;
}

export interface Ask {
  readonly session: string;
  readonly value: string | undefined;
  readonly lockDelaySeconds: number | undefined;
  readonly nowMs: number;
}

/**
 * Takes a place in the queue. One who has a place keeps it, and one who holds the lock holds it on; both may say
 * another value. An absent value leaves the old one.
 * @returns the token when the session holds the lock already
 */
export function ask(lock: LockFacts, { session, value, lockDelaySeconds, nowMs }: Ask): Plan<number | undefined> {
  const { ref, holder, mark } = lock;
  const waiting = lock.queue.get(session);
  const key = waiterKey(ref, session);
  if (holder?.session === session) {
    const same = value === undefined || value === holder.value;
    const then = same ? [] : [put(holderKey(ref), holderOf({ value }), session)];
    return { when: [...isAs(lock)], then, result: mark?.modRevision };
  }
  if (waiting) {
    const next: WaiterRecord = {
      ...holderOf({ value: value ?? waiting.value }),
      lockDelaySeconds: lockDelaySeconds ?? waiting.lockDelaySeconds,
      sinceMs: waiting.sinceMs,
    };
    const same = next.value === waiting.value && next.lockDelaySeconds === waiting.lockDelaySeconds;
    return {
      when: [{ key, target: "modRevision", is: "equal", value: waiting.modRevision }],
      then: same ? [] : [put(key, next, session)],
      result: undefined,
    };
  }
  const when = [holderIs(lock), { key, target: "modRevision", is: "equal", value: 0 } as const];
  if (lock.queue.size >= LOCK_WAITERS_MAX) {
    return {
      when,
      then: [],
      result: LocksErrors.QUEUE_FULL(
        `${LOCK_WAITERS_MAX} sessions wait for lock "${ref.name}", the most there may be. Does each that gives up leave?`,
      ),
    };
  }
  const record: WaiterRecord = {
    ...holderOf({ value }),
    lockDelaySeconds: lockDelaySeconds ?? LOCK_DELAY_SECONDS,
    sinceMs: nowMs,
  };
  return { when, then: [put(key, record, session)], result: undefined };
}

/** Whether the lock has nobody and may be given to the first in its queue, or tidied away when there is none. */
export type Due = "no" | "now" | "after delay";
export function due({ holder, mark, queue }: LockFacts): Due {
  if (holder) return "no";
  if (mark) return "after delay";
  return queue.size > 0 ? "now" : "no";
}

/**
 * Gives a lock that nobody holds to the first in its queue; without a queue it removes the mark that a lapsed holder
 * left. Whoever asks for this has seen to it that the delay is over.
 */
export function grant(lock: LockFacts, nowMs: number): Plan<void> {
  const head = headOf(lock);
  const { ref, mark } = lock;
  if (lock.holder || (!head && !mark)) return { when: [], then: [], result: undefined };
  if (!head) return { when: isAs(lock), then: [{ type: "delete", key: markKey(ref) }], result: undefined };
  return { when: [...isAs(lock), isThere(lock, head)], then: takeOver(lock, head, nowMs), result: undefined };
}

export interface Release {
  readonly session: string;
  readonly nowMs: number;
}

/** Lets go: the next in the queue holds the lock in the same revision. One who waits leaves the queue. */
export function release(lock: LockFacts, { session, nowMs }: Release): Plan<"holder" | "waiter"> {
  const { ref, holder } = lock;
  const waiting = lock.queue.get(session);
  if (holder?.session !== session && waiting) {
    const key = waiterKey(ref, session);
    return {
      when: [{ key, target: "createRevision", is: "equal", value: waiting.createRevision }],
      then: [{ type: "delete", key }],
      result: "waiter",
    };
  }
  if (holder?.session !== session) {
    const who = holder ? `another session does` : "nobody does";
    return {
      when: [holderIs(lock), { key: waiterKey(ref, session), target: "modRevision", is: "equal", value: 0 }],
      then: [],
      result: LocksErrors.NOT_HELD(
        `This session neither holds lock "${ref.name}" nor waits for it; ${who}. It may have lapsed, or been released before.`,
        holder ? { extra: { holder: holder.session } } : {},
      ),
    };
  }
  const head = headOf(lock);
  if (head) return { when: [...isAs(lock), isThere(lock, head)], then: takeOver(lock, head, nowMs), result: "holder" };
  return {
    when: isAs(lock),
    then: [
      { type: "delete", key: holderKey(ref) },
      { type: "delete", key: markKey(ref) },
    ],
    result: "holder",
  };
}

export interface Break {
  readonly by: string;
  readonly reason: string;
  readonly nowMs: number;
  /** That the record of it lives by. */
  readonly lease: string;
}

/** Takes the lock from its holder, who may still be at work: so its delay runs, as if it had lapsed. */
export function breakLock(lock: LockFacts, { by, reason, nowMs, lease }: Break): Plan<BreakRecord> {
  const { ref, holder, mark } = lock;
  if (!holder || !mark) {
    return {
      when: [holderIs(lock)],
      then: [],
      result: LocksErrors.NOT_HELD(`Nobody holds lock "${ref.name}", so there is nothing to break.`),
    };
  }
  const record: BreakRecord = { by, reason, session: holder.session, token: mark.modRevision, atMs: nowMs };
  return {
    when: isAs(lock),
    then: [{ type: "delete", key: holderKey(ref) }, put(breakKey(ref), record, lease)],
    result: record,
  };
}

/** The head of the queue becomes the holder. The mark's revision is the token, so it is written each time. */
function takeOver({ ref }: LockFacts, { session, value, lockDelaySeconds }: Waiter, nowMs: number): Write[] {
  const mark: MarkRecord = { session, lockDelaySeconds, sinceMs: nowMs };
  return [
    put(holderKey(ref), holderOf({ value }), session),
    put(markKey(ref), mark),
    { type: "delete", key: waiterKey(ref, session) },
  ];
}

/** Held by the same holder in the same acquisition, or free, or resting since the same one. */
function isAs(lock: LockFacts): Condition[] {
  return [
    holderIs(lock),
    { key: markKey(lock.ref), target: "modRevision", is: "equal", value: lock.mark?.modRevision ?? 0 },
  ];
}

function holderIs({ ref, holder }: LockFacts): Condition {
  return { key: holderKey(ref), target: "modRevision", is: "equal", value: holder?.modRevision ?? 0 };
}

/** Who is first and still there is first in the store, too: all that were before are gone, and none can come before. */
function isThere({ ref }: LockFacts, { session, modRevision }: Waiter): Condition {
  return { key: waiterKey(ref, session), target: "modRevision", is: "equal", value: modRevision };
}

function holderOf({ value }: { value: string | undefined }): HolderRecord {
  return value === undefined ? {} : { value };
}

function put(key: string, value: unknown, lease?: string): Write {
  return { type: "put", key, value: encodeJson(value), ...(lease === undefined ? {} : { lease }) };
}
