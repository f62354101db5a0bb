/** Calls about locks. */
import type {
  Lock,
  LockAnswer,
  LockBreak,
  LockList,
  LockRef,
  LockReleased,
  LockRequest,
  LockState,
  LockWasBroken,
} from "#locks/api";
import { CALL_TIMEOUT_MS, enc, queryOf, type Caller, type CallOptions, type StreamOptions } from "./caller.ts";

export type LockCalls = ReturnType<typeof lockCalls>;

/** Calls to acquire, release and watch locks. */
export function lockCalls(caller: Caller) {
  return {
    /** Acquires a lock, or waits `waitSeconds` for it. A repeated call keeps the place in the queue, and the token once it is held. */
    acquire: (lock: LockRef, body: LockRequest, options: CallOptions = {}) =>
      caller.call<LockAnswer>("PUT", lockPath(lock), body, {
        ...options,
        timeoutMs: CALL_TIMEOUT_MS + (body.waitSeconds ?? 0) * 1000,
      }),
    /** Releases the lock, or leaves its queue. @throws LOCKS_NOT_HELD */
    release: (lock: LockRef, session: string, options: CallOptions = {}) =>
      caller.call<LockReleased>("DELETE", `${lockPath(lock)}&session=${enc(session)}`, undefined, options),
    get: (lock: LockRef, options: CallOptions & { revision?: number } = {}) => {
      const at = options.revision === undefined ? "" : `&revision=${options.revision}`;
      return caller.call<Lock>("GET", `${lockPath(lock)}${at}`, undefined, options);
    },
    list: (query: { namespace: string; prefix?: string; after?: string; limit?: number }, options: CallOptions = {}) =>
      caller.call<LockList>("GET", `/v1/locks?${queryOf(query)}`, undefined, options),
    /** Takes a lock from its holder, for operators. */
    break: (lock: LockRef, body: LockBreak, options: CallOptions = {}) =>
      caller.call<LockWasBroken>("POST", lockPath(lock, "/break"), body, options),
    /** A lock's state as frames: one snapshot, synced, then a delta (again the whole state) per change. Never ends by itself. */
    watch: (lock: LockRef, options: StreamOptions) => caller.watch<LockState>(lockPath(lock, "/watch"), options),
  };
}

function lockPath({ namespace, name }: LockRef, rest = ""): string {
  return `/v1/locks/${enc(name)}${rest}?namespace=${enc(namespace)}`;
}
