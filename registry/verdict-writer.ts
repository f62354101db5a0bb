/**
 * Writes verdicts until they are written, or void. Many checks may flip in one instant, so a few are written at a time;
 * one that could not be written is tried again, later and later, and takes the verdict as it is by then.
 */
import { AppError, fullJitter, messageOf, type CancelTimer, type Host } from "#base";

/** Writes under way at once: the store puts them one after another, and others want to write, too. */
const WRITES_MAX = 64;
const RETRY = { baseMs: 200, capMs: 10_000 };
/** Milliseconds, at most, before a verdict that somebody else wrote over is written again. */
const CONTEST_MS = 1_000;

interface Wanted {
  attempt: number;
  writing: boolean;
  /** It changed while it was being written. */
  again: boolean;
  cancel: CancelTimer;
}

export class VerdictWriter implements AsyncDisposable {
  readonly #host: Host;
  readonly #write: (key: string) => Promise<void>;
  readonly #wanted = new Map<string, Wanted>();
  readonly #ready = new Set<string>();
  readonly #underWay = new Set<Promise<void>>();
  #disposed = false;

  /** `write` writes the verdict as it is now. It resolves when that is done or void, and rejects to be tried again. */
  constructor(host: Host, write: (key: string) => Promise<void>) {
    this.#host = host;
    this.#write = write;
  }

  /** The verdict changed. */
  want(key: string): void {
    const known = this.#wanted.get(key);
    if (known?.writing) known.again = true;
    else if (!known) this.#add(key, 0);
  }

  /** What stands in the store is not ours: written over by a late former owner, or never written. */
  contest(key: string): void {
    if (!this.#wanted.has(key)) this.#add(key, this.#host.random.float() * CONTEST_MS);
  }

  drop(key: string): void {
    this.#wanted.get(key)?.cancel();
    this.#wanted.delete(key);
    this.#ready.delete(key);
  }

  #add(key: string, delayMs: number): void {
    if (this.#disposed) return;
    const wanted: Wanted = { attempt: 0, writing: false, again: false, cancel: () => {} };
    this.#wanted.set(key, wanted);
    this.#after(key, wanted, delayMs);
  }

  #after(key: string, wanted: Wanted, delayMs: number): void {
    const ready = () => {
      this.#ready.add(key);
      this.#pump();
    };
    if (delayMs === 0) ready();
    else wanted.cancel = this.#host.clock.after(delayMs, ready);
  }

  #pump(): void {
    for (const key of this.#ready) {
      if (this.#underWay.size >= WRITES_MAX) return;
      this.#ready.delete(key);
      const wanted = this.#wanted.get(key);
      if (!wanted) continue;
      const task = this.#one(key, wanted);
      this.#underWay.add(task);
      void task.finally(() => {
        this.#underWay.delete(task);
        this.#pump();
      });
    }
  }

  async #one(key: string, wanted: Wanted): Promise<void> {
    wanted.writing = true;
    let failed = false;
    try {
      await this.#write(key);
    } catch (error) {
      failed = true;
      const fields = { check: key, ...(error instanceof AppError ? { code: error.code } : { err: error }) };
      const text = `a verdict could not be written yet: ${messageOf(error)}`;
      if (wanted.attempt === 0) this.#host.log.warn(fields, text);
      else this.#host.log.debug(fields, text);
    }
    wanted.writing = false;
    if (this.#disposed || this.#wanted.get(key) !== wanted) return;
    if (failed) this.#after(key, wanted, 1 + fullJitter(this.#host.random, wanted.attempt++, RETRY));
    else if (wanted.again) {
      wanted.again = false;
      wanted.attempt = 0;
      this.#after(key, wanted, 0);
    } else this.#wanted.delete(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    for (const key of this.#wanted.keys()) this.drop(key);
    await Promise.allSettled(this.#underWay);
  }
}
