/** How long a resource rests between two reads that the feed asks for. Pure. */

/** Four reads per second at most, however small the answer is. */
const SHORTEST_MS = 250;
/** A change is shown within ten seconds, however large the answer is. */
const LONGEST_MS = 10_000;
/** Reading takes at most a quarter of the time, so that the server and the page have the rest. */
const REST_PER_READ = 3;
/** A second for each million characters: a list of ten thousand instances has about five. */
const MS_PER_CHARACTER = 0.001;

/** Milliseconds from the end of a read to the next one. `characters`: of its answer. */
export function readGapMs(tookMs: number, characters: number): number {
  return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, tookMs * REST_PER_READ, characters * MS_PER_CHARACTER));
}
