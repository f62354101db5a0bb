/**
 * The keys of locks in the store. A name's slashes become colons, which no name contains. So the queue of `a` is not a
 * prefix of the queue of `a/b`, and a key splits into its parts without escaping.
 */
import type { LockRef } from "../api.ts";

export const LOCKS_PREFIX = "/locks/";

/** The holder of a lock: attached to the holder's session, and removed with it. */
export function holderKey(lock: LockRef): string {
  return `${LOCKS_PREFIX}holders/${pathOf(lock)}`;
}

/**
 * The mark of an acquisition: its session and its delay. It is written and removed together with the holder's key, but is
 * attached to no session, so a mark without a holder shows that the holder lapsed. Its revision is the token.
 */
export function markKey(lock: LockRef): string {
  return `${LOCKS_PREFIX}marks/${pathOf(lock)}`;
}

/** A place in the queue, attached to the waiter's session. Places are ordered by creation. */
export function waiterKey(lock: LockRef, session: string): string {
  return `${queuePrefix(lock)}${session}`;
}

function queuePrefix(lock: LockRef): string {
  return `${LOCKS_PREFIX}queue/${pathOf(lock)}/`;
}

/** The principal that last broke the lock, and its reason. */
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

/** The meaning of a key; undefined for keys of a later version, which an older reader must ignore. */
export function parseLockKey(key: string): LockKey | undefined {
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

/** Identifies a lock across namespaces: a topic of the hub, and a key of the book. */
export function lockId({ namespace, name }: LockRef): string {
  return `${namespace}/${name}`;
}
