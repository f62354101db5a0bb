/**
 * A set of keys in order, in chunks: an insert moves half a chunk at most, so its cost does not grow with the number of keys. A balanced
 * tree would need three times the code.
 */
import { firstIndexWhere } from "#base";

/** Keys in one chunk before it is split in two. Moving that many pointers costs less than a microsecond. */
const CHUNK_KEYS_MAX = 512;

export class OrderedKeys {
  /** No chunk is empty; chunks and their keys ascend. */
  readonly #chunks: string[][] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds a key. Does nothing if the set has it. */
  add(key: string): void {
    const at = this.#chunkOf(key);
    const chunk = this.#chunks[at];
    if (!chunk) {
      this.#chunks.push([key]);
      this.#size = 1;
      return;
    }
    const index = lowerBound(chunk, key);
    if (chunk[index] === key) return;
    chunk.splice(index, 0, key);
    this.#size++;
    if (chunk.length > CHUNK_KEYS_MAX) this.#chunks.splice(at + 1, 0, chunk.splice(CHUNK_KEYS_MAX / 2));
  }

  delete(key: string): void {
    const at = this.#chunkOf(key);
    const chunk = this.#chunks[at];
    if (!chunk) return;
    const index = lowerBound(chunk, key);
    if (chunk[index] !== key) return;
    chunk.splice(index, 1);
    this.#size--;
    if (chunk.length === 0) this.#chunks.splice(at, 1);
  }

  /** A copy of the keys that begin with `prefix` and come after `after`, in order. */
  withPrefix(prefix: string, after?: string): string[] {
    const found: string[] = [];
    const start = after !== undefined && after >= prefix ? after : prefix;
    for (let at = this.#chunkOf(start); at < this.#chunks.length; at++) {
      const chunk = this.#chunks[at] as string[];
      for (let index = lowerBound(chunk, start); index < chunk.length; index++) {
        const key = chunk[index] as string;
        if (!key.startsWith(prefix)) return found;
        if (key !== after) found.push(key);
      }
    }
    return found;
  }

  /** The last chunk that begins at or before `key`, or the first. */
  #chunkOf(key: string): number {
    const chunks = this.#chunks;
    return Math.max(0, firstIndexWhere(chunks.length, (at) => (chunks[at]?.[0] as string) > key) - 1);
  }
}

/** The first index whose key is not before `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  return firstIndexWhere(keys.length, (index) => (keys[index] as string) >= key);
}
