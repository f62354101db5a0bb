/**
 * A map of what was used lately, of bounded size: two generations, of which the older is forgotten when the younger has
 * half of what there may be. Whoever is used is in the younger one.
 *
 * Not one map in the order of use: to put a key last it must be deleted and set again, and a Map that is deleted from
 * with every request leaves a table behind with every few. One of these in the old generation of the heap keeps all that
 * came after it from young collections (measured: 170 bytes a request, up to the next full collection).
 */
export class RecentMap<Value> {
  readonly #half: number;
  #young = new Map<string, Value>();
  #old = new Map<string, Value>();

  /** Holds half of `most` at least, and `most` at the most. */
  constructor(most: number) {
    this.#half = Math.max(1, Math.floor(most / 2));
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** It counts as a use. */
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
