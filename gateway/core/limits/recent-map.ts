/**
 * A map of recently used keys with a bounded size. It has two generations: when the younger one reaches half of the limit,
 * the older one is dropped and the younger one takes its place. Each use moves a key into the younger one.
 *
 * A single map in the order of use would delete and set a key with each request, and such a Map allocates a new table
 * every few requests. A table in the old generation of the heap keeps all later ones from young collections (measured:
 * 170 bytes per request, until the next full collection).
 */
import { costlyInvariant } from "#base";

export class RecentMap<Value> {
  readonly #half: number;
  #young = new Map<string, Value>();
  #old = new Map<string, Value>();

  /** Keeps at least half of `most` keys, and at most `most`. */
  constructor(most: number) {
    this.#half = Math.max(1, Math.floor(most / 2));
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** Counts as a use of the key. */
  get(key: string): Value | undefined {
    const known = this.#young.get(key);
    if (known !== undefined) return known;
    const older = this.#old.get(key);
    if (older !== undefined) this.set(key, older);
    return older;
  }

  set(key: string, value: Value): void {
    const { size } = this.#young;
    this.#young.set(key, value);
    if (this.#young.size === size) return;
    this.#old.delete(key);
    if (this.#young.size < this.#half) return;
    this.#old = this.#young;
    this.#young = new Map();
    costlyInvariant(() => this.#old.size <= this.#half, "a generation of a recent map has at most half of the keys");
  }

  delete(key: string): void {
    this.#young.delete(key);
    this.#old.delete(key);
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
  }
}
