/** How many requests each who shares a limit has under way. */
export class ConcurrencyLimiter {
  readonly #counts = new Map<string, number>();

  get keys(): number {
    return this.#counts.size;
  }

  /** False: as many as may be. What was taken must be released, once. */
  take(key: string, most: number): boolean {
    const count = this.#counts.get(key) ?? 0;
    if (count >= most) return false;
    this.#counts.set(key, count + 1);
    return true;
  }

  release(key: string): void {
    const count = this.#counts.get(key) ?? 0;
    if (count <= 1) this.#counts.delete(key);
    else this.#counts.set(key, count - 1);
  }
}
