/** Locks as the API shows them. */
import type { Lock, LockAnswer, LockBroken, LockHolder, LockState } from "../api.ts";
import { LOCK_WAITERS_SHOWN } from "../api.ts";
import { queuePlaceOf, type BreakRecord, type Holder, type LockFacts, type Mark } from "./book.ts";

/** `dueAtMs`: when the delay of a lapsed lock is over, in milliseconds since 1970. */
export function lockStateView({ ref, holder, mark }: LockFacts, dueAtMs: number): LockState {
  const { namespace, name } = ref;
  if (holder) return { namespace, name, holder: holderView(holder, mark) };
  if (!mark) return { namespace, name };
  return { namespace, name, delayedUntil: timeText(dueAtMs) };
}

export function lockView(lock: LockFacts, state: LockState, revision: number): Lock {
  const waiters = [...lock.queue.values()].slice(0, LOCK_WAITERS_SHOWN).map(({ session, value, sinceMs }) => ({
    session,
    ...(value === undefined ? {} : { value }),
    since: timeText(sinceMs),
  }));
  return {
    ...state,
    revision,
    waiting: lock.queue.size,
    waiters,
    ...(lock.broken ? { broken: brokenView(lock.broken) } : {}),
  };
}

/** The answer to a session that asked for the lock. */
export function lockAnswerView(
  lock: LockFacts,
  session: string,
  { state, revision }: { readonly state: LockState; readonly revision: number },
): LockAnswer {
  const token = lock.mark?.modRevision ?? 0;
  if (lock.holder?.session === session) return { ...state, revision, acquired: true, token };
  const place = queuePlaceOf(lock, session);
  return { ...state, revision, acquired: false, ...(place > 0 ? { place } : {}) };
}

export function brokenView({ by, reason, session, token, atMs }: BreakRecord): LockBroken {
  return { by, reason, session, token, at: timeText(atMs) };
}

/** Differs when the state does: the holder and its value, or the delay. */
export function lockStateTag({ holder, mark }: LockFacts): string {
  return `${mark?.modRevision ?? 0}-${holder?.modRevision ?? 0}`;
}

function holderView({ session, value }: Holder, mark: Mark | undefined): LockHolder {
  return {
    session,
    ...(value === undefined ? {} : { value }),
    token: mark?.modRevision ?? 0,
    since: timeText(mark?.sinceMs ?? 0),
    lockDelaySeconds: mark?.lockDelaySeconds ?? 0,
  };
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
