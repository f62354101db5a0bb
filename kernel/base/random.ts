/** Uses of random numbers: a seeded generator for tests and simulations, ids, shuffles and full-jitter backoff. */
import type { Random } from "./chance.ts";

/** A small deterministic generator (mulberry32). Good enough for tests; never for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    float: next,
    bytes: (length) => Uint8Array.from({ length }, () => Math.floor(next() * 256)),
  };
}

/** A whole number in [0, below). */
export function randomInt(random: Random, below: number): number {
  return Math.floor(random.float() * below);
}

/** An id of `bytes` random bytes in lower-case hex. 16 bytes never collide. */
export function randomId(random: Random, bytes = 16): string {
  return Buffer.from(random.bytes(bytes)).toString("hex");
}

/** A shuffled copy (Fisher–Yates). */
export function shuffle<T>(random: Random, items: readonly T[]): T[] {
  const copy = [...items];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = randomInt(random, i + 1);
    [copy[i], copy[j]] = [copy[j] as T, copy[i] as T];
  }
  return copy;
}

/**
 * Milliseconds to wait before attempt number `attempt` (the first is 0): anywhere between nothing and the doubled base, so that
 * clients that were cut off at once do not return at once.
 * @see https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ (full jitter)
 */
export function fullJitter(random: Random, attempt: number, limits: { baseMs: number; capMs: number }): number {
  return random.float() * Math.min(limits.capMs, limits.baseMs * 2 ** Math.min(attempt, 30));
}
