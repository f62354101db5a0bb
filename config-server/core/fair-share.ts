/**
 * Fair shares of a few places of work. An author takes one place at a time, however much it asks for, and authors take
 * turns. Pure: the caller does the work.
 */
import { costlyInvariant, invariant } from "#base";

export class FairShare {
  readonly #placesMax: number;
  readonly #working = new Set<string>();
  /** Authors in the order of their turns, each with its waiting work, oldest first. */
  readonly #waiting = new Map<string, (() => void)[]>();

  constructor(placesMax: number) {
    this.#placesMax = placesMax;
  }

  /** Resolves when the author may begin; `leave` must follow. */
  enter(author: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const queue = this.#waiting.get(author);
    if (queue) queue.push(resolve);
    else this.#waiting.set(author, [resolve]);
    this.#admit();
    return promise;
  }

  leave(author: string): void {
    invariant(this.#working.delete(author), "an author leaves a place only after entering one");
    // The author's next turn comes after those of everyone who waits now.
    const queue = this.#waiting.get(author);
    if (queue) {
      this.#waiting.delete(author);
      this.#waiting.set(author, queue);
    }
    this.#admit();
  }

  #admit(): void {
    for (const [author, queue] of this.#waiting) {
      if (this.#working.size >= this.#placesMax) return;
      if (this.#working.has(author)) continue;
      const begin = queue.shift();
      if (queue.length === 0) this.#waiting.delete(author);
      this.#working.add(author);
      invariant(this.#working.size <= this.#placesMax, "at most one author works per place");
      begin?.();
    }
    costlyInvariant(
      () => this.#waiting.values().every((queue) => queue.length > 0),
      "an author without waiting work has no turn",
    );
  }
}
