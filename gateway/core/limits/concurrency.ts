/** How many requests each who shares a limit has under way. */
import { PeerCounts } from "./peer-messages.ts";

export class ConcurrencyLimiter {
  readonly #counts = new Map<string, number>();
  /** Keys whose count changed since `recorded` was last asked; undefined: nobody asks. */
  #changed: Set<string> | undefined;
  /** What the other workers of this gateway have under way. */
  readonly others = new PeerCounts();

  get keys(): number {
    return this.#counts.size;
  }

  /** False: as many as may be. What was taken must be released, once. */
  take(key: string, most: number): boolean {
    const count = this.#counts.get(key) ?? 0;
    if (count + this.others.sum(key) >= most) return false;
    this.#counts.set(key, count + 1);
    this.#changed?.add(key);
    return true;
  }

  release(key: string): void {
    const count = this.#counts.get(key) ?? 0;
    if (count <= 1) this.#counts.delete(key);
    else this.#counts.set(key, count - 1);
    this.#changed?.add(key);
  }

  /** From now on it is noted what changes. */
  record(): void {
    this.#changed = new Set();
  }

  /** The keys that changed since the last call, and how many requests are under way. */
  recorded(): (readonly [key: string, requests: number])[] {
    if (!this.#changed || this.#changed.size === 0) return [];
    const changed = [...this.#changed].map((key) => [key, this.#counts.get(key) ?? 0] as const);
    this.#changed.clear();
    return changed;
  }
}
