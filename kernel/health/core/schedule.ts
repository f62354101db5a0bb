/**
 * When a check is probed. Each check has its own place in the interval, computed from its key: checks that are set together spread
 * over the interval, and a restart keeps their places. Pure.
 */
import { invariant, textHash32 } from "#base";

/** Milliseconds within which a first probe comes: soon, but not all probes of a restarted fleet at once. */
export const FIRST_PROBE_MS_MAX = 1_000;

/** A check's place in the interval: a number in [0, 1) that depends on its key only. */
export function intervalPlaceOf(key: string): number {
  return textHash32(key) / 2 ** 32;
}

export interface Timing {
  readonly place: number;
  readonly intervalMs: number;
  readonly initialDelayMs: number;
}

/** Milliseconds from setting a check to its first probe. */
export function firstDelayMs({ place, intervalMs, initialDelayMs }: Timing): number {
  return initialDelayMs + place * Math.min(intervalMs, FIRST_PROBE_MS_MAX);
}

/**
 * When the next probe is due, in monotonic milliseconds: at the check's place in the interval, and at least half an interval after
 * the latest probe began. From the second probe on, probes are one interval apart.
 */
export function nextDueMs({ place, intervalMs }: Timing, startedAtMs: number): number {
  invariant(place >= 0 && place < 1, "a place is a part of the interval");
  const earliest = startedAtMs + intervalMs / 2;
  return (Math.ceil(earliest / intervalMs - place) + place) * intervalMs;
}
