/** Counts the requests in flight for each key of a concurrency limit. */
import { PeerCounts } from "./peer-messages.ts";

export class ConcurrencyLimiter {
  readonly #counts = new Map<string, number>();
  /** Keys whose count changed since the last call of `recorded`; undefined: changes are not recorded. */
  #changed: Set<string> | undefined;
  /** The requests in flight in the other workers of this gateway. */
  readonly others = new PeerCounts();

  get keys(): number {
    return this.#counts.size;
  }

  /** False: the limit is reached. Each successful take must be released exactly once. */
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

  /** Starts to record changes. */
  record(): void {
    this.#changed = new Set();
  }

  /** The keys that changed since the last call, with their requests in flight. */
  recorded(): (readonly [key: string, requests: number])[] {
    if (!this.#changed || this.#changed.size === 0) return [];
    const changed = [...this.#changed].map((key) => [key, this.#counts.get(key) ?? 0] as const);
    this.#changed.clear();
    return changed;
  }
}
