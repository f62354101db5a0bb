/** Loops that stop together, deadlines, and wake-ups that coalesce. Every loop has an owner, so no promise floats. */
import { messageOf } from "./errors.ts";
import type { Clock, Log } from "./host.ts";

/**
 * Owns background loops. Each gets the group's signal; disposing aborts it and waits for all of them.
 * A loop that throws before that is a defect: it is logged and passed to `onFailure`.
 */
export class TaskGroup implements AsyncDisposable {
  readonly #log: Log;
  readonly #abort = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly #onFailure: (error: unknown) => void;

  constructor(log: Log, onFailure: (error: unknown) => void = () => {}) {
    this.#log = log;
    this.#onFailure = onFailure;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Starts a loop under a name. It should return soon after the signal aborts. */
  run(name: string, loop: (signal: AbortSignal) => Promise<void>): void {
    const task = this.#guard(name, loop);
    this.#running.add(task);
    void task.finally(() => this.#running.delete(task));
  }

  async #guard(name: string, loop: (signal: AbortSignal) => Promise<void>): Promise<void> {
    try {
      await loop(this.#abort.signal);
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.#log.error({ task: name, err: error }, `background task failed: ${messageOf(error)}`);
      this.#onFailure(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error("stopping"));
    await Promise.allSettled(this.#running);
  }
}

/** Coalesces wake-ups: after any number of calls of `fire`, the waiter wakes once. */
export class Trigger {
  #fired = false;
  #wake: (() => void) | undefined;

  fire(): void {
    this.#fired = true;
    this.#wake?.();
  }

  /** Resolves at the next fire, or at once when fired since the last wait, or when the signal aborts. */
  async wait(signal: AbortSignal): Promise<void> {
    if (!this.#fired && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const done = () => {
          signal.removeEventListener("abort", done);
          this.#wake = undefined;
          resolve();
        };
        this.#wake = done;
        signal.addEventListener("abort", done, { once: true });
      });
    }
    this.#fired = false;
  }
}

/**
 * A signal that aborts with a TimeoutError after `ms` milliseconds of this clock. `AbortSignal.timeout` supports the real clock only.
 * Disposing it ends the timer.
 */
export function deadline(clock: Clock, ms: number): { readonly signal: AbortSignal } & Disposable {
  const late = new AbortController();
  const cancel = clock.after(ms, () => late.abort(new DOMException(`no answer within ${ms} ms`, "TimeoutError")));
  return { signal: late.signal, [Symbol.dispose]: cancel };
}
