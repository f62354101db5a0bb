/**
 * When a check is probed. Each has a place of its own in the interval, drawn from its key: checks set together spread
 * over it, and a restart finds each one where it was. Pure.
 */

/** A first probe comes within this many milliseconds: soon, but not all of a restarted fleet in one instant. */
export const FIRST_PROBE_MS_MAX = 1_000;

/** A number in [0, 1) that the key alone decides (FNV-1a, then the finalizer of MurmurHash3). */
export function placeOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

export interface Timing {
  readonly place: number;
  readonly intervalMs: number;
  readonly initialDelayMs: number;
}

/** Milliseconds from when a check was set to its first probe. */
export function firstDelayMs({ place, intervalMs, initialDelayMs }: Timing): number {
  return initialDelayMs + place * Math.min(intervalMs, FIRST_PROBE_MS_MAX);
}

/**
 * When the next probe is due, in monotonic milliseconds: at the check's place in the interval, and not sooner than half
 * an interval after the latest one began. From the second probe on that is an interval apart.
 */
export function nextDueMs({ place, intervalMs }: Timing, startedAtMs: number): number {
  const earliest = startedAtMs + intervalMs / 2;
  return (Math.ceil(earliest / intervalMs - place) + place) * intervalMs;
}
