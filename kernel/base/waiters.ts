/** Waits for the next change, a time limit or an abort, whichever comes first. Leaves no timer and no listener. */
import type { Clock } from "./host.ts";

/** How a wait ended. */
export type WaitEnd = "woken" | "late" | "aborted";

/** Limits that end a wait without a wake-up. Both may be absent. */
export interface WaitLimits {
  /** Ends the wait as "late" after that many milliseconds of this clock. */
  readonly limit?: { readonly clock: Clock; readonly ms: number } | undefined;
  /** Ends the wait as "aborted". */
  readonly signal?: AbortSignal | undefined;
}

/** Waits by key. One wait may name several keys; a key that no wait names takes no memory. */
export class KeyedWaiters {
  readonly #wakesByKey = new Map<string, Set<() => void>>();

  /** The keys with at least one wait. */
  keys(): IterableIterator<string> {
    return this.#wakesByKey.keys();
  }

  /** Whether at least one wait names the key. */
  has(key: string): boolean {
    return this.#wakesByKey.has(key);
  }

  wait(keys: readonly string[], { limit, signal }: WaitLimits): Promise<WaitEnd> {
    if (signal?.aborted) return Promise.resolve("aborted");
    return new Promise((resolve) => {
      const end = (how: WaitEnd) => {
        cancel?.();
        signal?.removeEventListener("abort", abort);
        for (const key of keys) this.#remove(key, wake);
        resolve(how);
      };
      const wake = () => end("woken");
      const abort = () => end("aborted");
      const cancel = limit?.clock.after(limit.ms, () => end("late"));
      signal?.addEventListener("abort", abort, { once: true });
      for (const key of keys) {
        const wakes = this.#wakesByKey.get(key) ?? new Set();
        this.#wakesByKey.set(key, wakes.add(wake));
      }
    });
  }

  /** Ends the waits for a key, in the order in which they began. */
  wake(key: string): void {
    for (const wake of this.#wakesByKey.get(key) ?? []) wake();
  }

  wakeAll(): void {
    for (const key of this.#wakesByKey.keys()) this.wake(key);
  }

  #remove(key: string, wake: () => void): void {
    const wakes = this.#wakesByKey.get(key);
    wakes?.delete(wake);
    if (wakes?.size === 0) this.#wakesByKey.delete(key);
  }
}

/** Waits for one kind of change. */
export class Waiters {
  readonly #keyed = new KeyedWaiters();

  wait(limits: WaitLimits = {}): Promise<WaitEnd> {
    return this.#keyed.wait([""], limits);
  }

  wakeAll(): void {
    this.#keyed.wakeAll();
  }
}

/** Resolves when the signal aborts, or at once when it already has. */
export async function whenAborted(signal: AbortSignal): Promise<void> {
  await new Waiters().wait({ signal });
}
