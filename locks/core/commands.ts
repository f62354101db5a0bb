/**
 * Commands on a lock become transactions. The lock's known state and a command go in; the comparisons under which the
 * decision is right, the writes, and the result come out. Rejections and results without writes have comparisons, too:
 * the known state may be out of date, and then the command is planned again.
 *
 * Every session queues, and the first in the queue acquires a free lock. An entry's place is its revision of creation, so
 * no session can get ahead of the first one while that is still there. Comparing these two keys therefore proves both order
 * and exclusion, however old the book is. The holder's key is put only where it is compared to be absent, or to be the
 * releasing session's own.
 */
import { encodeJson, type AppError } from "#base";
import { LOCK_DELAY_SECONDS, LOCK_WAITERS_MAX, LocksErrors } from "../api.ts";
import { queueHeadOf, type BreakRecord, type HolderRecord, type LockFacts, type MarkRecord } from "./book.ts";
import type { Waiter, WaiterRecord } from "./book.ts";
import { breakKey, holderKey, markKey, waiterKey } from "./keys.ts";

export interface LockCondition {
  readonly key: string;
  readonly target: "modRevision" | "createRevision";
  readonly is: "equal";
  readonly value: number;
}
export type LockWrite =
  | { readonly type: "put"; readonly key: string; readonly value: Uint8Array; readonly lease?: string }
  | { readonly type: "delete"; readonly key: string };

export interface LockPlan<Result> {
  readonly when: readonly LockCondition[];
  readonly then: readonly LockWrite[];
  /** The result of the transaction, or the error to throw, if the comparisons hold. */
  readonly result: Result | AppError;
}

export interface RequestCommand {
  readonly session: string;
  readonly value: string | undefined;
  readonly lockDelaySeconds: number | undefined;
  readonly nowMs: number;
}

/**
 * Takes a place in the queue. A session that has a place keeps it, and the holder keeps the lock; both may change the
 * value. An absent value leaves the old one.
 * @returns the token when the session already holds the lock
 */
export function requestLock(
  lock: LockFacts,
  { session, value, lockDelaySeconds, nowMs }: RequestCommand,
): LockPlan<number | undefined> {
  const { ref, holder, mark } = lock;
  const waiting = lock.queue.get(session);
  const key = waiterKey(ref, session);
  if (holder?.session === session) {
    const same = value === undefined || value === holder.value;
    const then = same ? [] : [put(holderKey(ref), holderRecord({ value }), session)];
    return { when: isUnchanged(lock), then, result: mark?.modRevision };
  }
  if (waiting) {
    const next: WaiterRecord = {
      ...holderRecord({ value: value ?? waiting.value }),
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
        `${LOCK_WAITERS_MAX} sessions wait for lock "${ref.name}", the most allowed. Sessions that give up must leave the queue.`,
      ),
    };
  }
  const record: WaiterRecord = {
    ...holderRecord({ value }),
    lockDelaySeconds: lockDelaySeconds ?? LOCK_DELAY_SECONDS,
    sinceMs: nowMs,
  };
  return { when, then: [put(key, record, session)], result: undefined };
}

/** Whether a lock without a holder must be granted to the first in its queue or, without a queue, its mark removed. */
export type GrantDue = "no" | "now" | "after delay";
export function grantDue({ holder, mark, queue }: LockFacts): GrantDue {
  if (holder) return "no";
  if (mark) return "after delay";
  return queue.size > 0 ? "now" : "no";
}

/**
 * Grants a lock without a holder to the first in its queue. Without a queue, removes the mark that a lapsed holder left.
 * The caller has checked that the delay is over.
 */
export function grantLock(lock: LockFacts, nowMs: number): LockPlan<void> {
  const head = queueHeadOf(lock);
  const { ref, mark } = lock;
  if (lock.holder || (!head && !mark)) return { when: [], then: [], result: undefined };
  if (!head) return { when: isUnchanged(lock), then: [{ type: "delete", key: markKey(ref) }], result: undefined };
  return { when: [...isUnchanged(lock), isQueued(lock, head)], then: handOver(lock, head, nowMs), result: undefined };
}

export interface ReleaseCommand {
  readonly session: string;
  readonly nowMs: number;
}

/** The holder releases the lock, and the next in the queue holds it in the same revision. A waiter leaves the queue. */
export function releaseLock(lock: LockFacts, { session, nowMs }: ReleaseCommand): LockPlan<"holder" | "waiter"> {
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
    const holding = holder ? "another session holds it" : "it has no holder";
    return {
      when: [holderIs(lock), { key: waiterKey(ref, session), target: "modRevision", is: "equal", value: 0 }],
      then: [],
      result: LocksErrors.NOT_HELD(
        `This session neither holds lock "${ref.name}" nor waits for it; ${holding}. The lock may have lapsed or been released before.`,
        holder ? { extra: { holder: holder.session } } : {},
      ),
    };
  }
  const head = queueHeadOf(lock);
  if (head)
    return { when: [...isUnchanged(lock), isQueued(lock, head)], then: handOver(lock, head, nowMs), result: "holder" };
  return {
    when: isUnchanged(lock),
    then: [
      { type: "delete", key: holderKey(ref) },
      { type: "delete", key: markKey(ref) },
    ],
    result: "holder",
  };
}

export interface BreakCommand {
  readonly by: string;
  readonly reason: string;
  readonly nowMs: number;
  /** The lease of the record of the break. */
  readonly lease: string;
}

/** Takes the lock from its holder. The holder may still be at work, so the delay runs as if it had lapsed. */
export function breakLock(lock: LockFacts, { by, reason, nowMs, lease }: BreakCommand): LockPlan<BreakRecord> {
  const { ref, holder, mark } = lock;
  if (!holder || !mark) {
    return {
      when: [holderIs(lock)],
      then: [],
      result: LocksErrors.NOT_HELD(`Lock "${ref.name}" has no holder, so there is nothing to break.`),
    };
  }
  const record: BreakRecord = { by, reason, session: holder.session, token: mark.modRevision, atMs: nowMs };
  return {
    when: isUnchanged(lock),
    then: [{ type: "delete", key: holderKey(ref) }, put(breakKey(ref), record, lease)],
    result: record,
  };
}

/** The head of the queue becomes the holder. The mark's revision is the token, so it is written each time. */
function handOver({ ref }: LockFacts, { session, value, lockDelaySeconds }: Waiter, nowMs: number): LockWrite[] {
  const mark: MarkRecord = { session, lockDelaySeconds, sinceMs: nowMs };
  return [
    put(holderKey(ref), holderRecord({ value }), session),
    put(markKey(ref), mark),
    { type: "delete", key: waiterKey(ref, session) },
  ];
}

/** Held by the same holder in the same acquisition, or free, or lapsed since the same acquisition. */
function isUnchanged(lock: LockFacts): LockCondition[] {
  return [
    holderIs(lock),
    { key: markKey(lock.ref), target: "modRevision", is: "equal", value: lock.mark?.modRevision ?? 0 },
  ];
}

function holderIs({ ref, holder }: LockFacts): LockCondition {
  return { key: holderKey(ref), target: "modRevision", is: "equal", value: holder?.modRevision ?? 0 };
}

/** The book's first waiter, if it still waits, is the first in the store, too: no later session gets ahead of it. */
function isQueued({ ref }: LockFacts, { session, modRevision }: Waiter): LockCondition {
  return { key: waiterKey(ref, session), target: "modRevision", is: "equal", value: modRevision };
}

function holderRecord({ value }: { value: string | undefined }): HolderRecord {
  return value === undefined ? {} : { value };
}

function put(key: string, value: unknown, lease?: string): LockWrite {
  return { type: "put", key, value: encodeJson(value), ...(lease === undefined ? {} : { lease }) };
}
