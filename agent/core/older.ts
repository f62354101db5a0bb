/** Whether a server that comes back knows less than this host does: its store was lost, or restored from before. */
import type { EffectiveConfig } from "../api.ts";

interface At {
  readonly value: EffectiveConfig;
  /** The store's revision when the server said it. */
  readonly revision: number;
}

/**
 * Another content, last released at an earlier revision, said by a store that has not come as far as what is known.
 *
 * Version numbers cannot tell. A rollback is a release of its own with a higher version, but an instance that leaves a gradual
 * release goes from version N+1 back to N, and rightly so. There, however, the store has gone on: it says N at a revision beyond the
 * one at which it said N+1. A store's revision falls only when the store is another one, or when a member of a cluster lags; and a
 * member that lags will pass what is known within moments.
 */
export function isOlderConfig(known: At, said: At): boolean {
  return (
    said.value.releaseKey !== known.value.releaseKey &&
    said.revision < known.revision &&
    said.value.revision < known.value.revision
  );
}
