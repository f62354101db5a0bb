/**
 * When and from where each token and each sign-in was last used, to the minute. A use costs one look-up; changes are gathered, and merged
 * into a few records of the store. Pure.
 */

/** Milliseconds between two noted uses of one token: the resolution of the last use. */
export const USE_STEP_MS = 60_000;
/** Records of the store, by the first digit of the id, so that each stays far below the largest value. */
export const USE_SHARDS = 16;
/** Uses per record: with 16 records, those of 16,000 tokens and sign-ins. Of more, the latest are kept. */
export const USES_PER_SHARD_MAX = 1_000;

/** Minutes since 1970, and the address. */
export type Use = readonly [minute: number, address: string];
export type UseShard = Readonly<Record<string, Use>>;

export function minuteOf(atMs: number): number {
  return Math.floor(atMs / USE_STEP_MS);
}

export function shardOf(id: string): string {
  return id.slice(0, 1);
}

/** The later use of each id, without the ids that no longer exist; undefined when the stored record has all of that. */
export function mergedShard(
  stored: UseShard,
  noted: ReadonlyMap<string, Use>,
  isKnown: (id: string) => boolean,
): UseShard | undefined {
  const merged = new Map(Object.entries(stored));
  let isChanged = false;
  for (const [id, use] of noted) {
    if ((merged.get(id)?.[0] ?? 0) >= use[0]) continue;
    merged.set(id, use);
    isChanged = true;
  }
  if (!isChanged) return undefined;
  const kept = [...merged]
    .filter(([id]) => isKnown(id))
    .sort(([, [a]], [, [b]]) => b - a)
    .slice(0, USES_PER_SHARD_MAX);
  return Object.fromEntries(kept);
}
