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

/** Asking for locks, letting them go, and watching them. */
export function lockCalls(caller: Caller) {
  return {
    /** Asks for a lock, or waits `waitSeconds` for it. Asking again keeps the place, and the token when it is held. */
    acquire: (lock: LockRef, body: LockRequest, options: CallOptions = {}) =>
      caller.call<LockAnswer>("PUT", lockPath(lock), body, {
        ...options,
        timeoutMs: CALL_TIMEOUT_MS + (body.waitSeconds ?? 0) * 1000,
      }),
    /** Lets go, or leaves the queue. @throws LOCKS_NOT_HELD */
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
    /** Who holds a lock, as frames: one snapshot, synced, then a delta (again the whole) per change. Never ends by itself. */
    watch: (lock: LockRef, options: StreamOptions) => caller.watch<LockState>(lockPath(lock, "/watch"), options),
  };
}

function lockPath({ namespace, name }: LockRef, rest = ""): string {
  return `/v1/locks/${enc(name)}${rest}?namespace=${enc(namespace)}`;
}
