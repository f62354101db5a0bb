/**
 * Where locks lie in the store. A name's slashes become colons, which no name holds, so that the queue of `a` is not the
 * beginning of that of `a/b`, and a key splits back without escaping.
 */
import type { LockRef } from "../api.ts";

export const LOCKS_PREFIX = "/locks/";

/** Who holds a lock: under the holder's session, and gone with it. */
export function holderKey(lock: LockRef): string {
  return `${LOCKS_PREFIX}holders/${pathOf(lock)}`;
}

/**
 * Says that a lock is held, by whom and with which delay. Written and removed together with the holder's key but under
 * no session: one that stands alone tells that the holder lapsed. Its revision is the token.
 */
export function markKey(lock: LockRef): string {
  return `${LOCKS_PREFIX}marks/${pathOf(lock)}`;
}

/** A place in the queue, under the waiter's session. The order is that of creation. */
export function waiterKey(lock: LockRef, session: string): string {
  return `${queuePrefix(lock)}${session}`;
}

function queuePrefix(lock: LockRef): string {
  return `${LOCKS_PREFIX}queue/${pathOf(lock)}/`;
}

/** Who broke the lock last, and why. */
export function breakKey(lock: LockRef): string {
  return `${LOCKS_PREFIX}breaks/${pathOf(lock)}`;
}

function pathOf({ namespace, name }: LockRef): string {
  return `${namespace}/${name.replaceAll("/", ":")}`;
}

export type LockKey =
  | { readonly kind: "holder"; readonly lock: LockRef }
  | { readonly kind: "mark"; readonly lock: LockRef }
  | { readonly kind: "break"; readonly lock: LockRef }
  | { readonly kind: "waiter"; readonly lock: LockRef; readonly session: string };

/** What a key is about; undefined for keys of a later version, which an older reader must not trip over. */
export function parseKey(key: string): LockKey | undefined {
  const [, , kind, namespace, path, session, ...rest] = key.split("/");
  if (!namespace || !path || rest.length > 0) return undefined;
  const lock = { namespace, name: path.replaceAll(":", "/") };
  if (kind === "queue") return session ? { kind: "waiter", lock, session } : undefined;
  if (session !== undefined) return undefined;
  if (kind === "holders") return { kind: "holder", lock };
  if (kind === "marks") return { kind: "mark", lock };
  if (kind === "breaks") return { kind: "break", lock };
  return undefined;
}

/** Names a lock among those of all namespaces: a topic of the hub, and a key of the book. */
export function lockId({ namespace, name }: LockRef): string {
  return `${namespace}/${name}`;
}
