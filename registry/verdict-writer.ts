/**
 * Writes verdicts, and retries until they are written or no longer needed. Many checks may flip at the same moment, so only
 * a limited number of writes run at a time. A failed write is retried with increasing pauses, with the verdict of that time.
 */
import { AppError, fullJitter, messageOf, type CancelTimer, type Host } from "#base";

/** Writes at the same time: the store runs them one after another, and other writers need it, too. */
const WRITES_MAX = 64;
const RETRY = { baseMs: 200, capMs: 10_000 };
/** Milliseconds, at most, before a verdict that another member overwrote is written again. */
const CONTEST_MS = 1_000;

interface WantedWrite {
  attempt: number;
  writing: boolean;
  /** The verdict changed while it was being written. */
  again: boolean;
  cancel: CancelTimer;
}

export class VerdictWriter implements AsyncDisposable {
  readonly #host: Host;
  readonly #write: (key: string) => Promise<void>;
  readonly #wanted = new Map<string, WantedWrite>();
  readonly #ready = new Set<string>();
  readonly #underWay = new Set<Promise<void>>();
  #disposed = false;

  /** `write` writes the current verdict. It resolves when that is done or no longer needed, and rejects to be retried. */
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

  /** The stored verdict is not this member's: a former owner overwrote it late, or it was never written. */
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
    const wanted: WantedWrite = { attempt: 0, writing: false, again: false, cancel: () => {} };
    this.#wanted.set(key, wanted);
    this.#after(key, wanted, delayMs);
  }

  #after(key: string, wanted: WantedWrite, delayMs: number): void {
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

  async #one(key: string, wanted: WantedWrite): Promise<void> {
    wanted.writing = true;
    let failed = false;
    try {
      await this.#write(key);
    } catch (error) {
      failed = true;
      const fields = { check: key, ...(error instanceof AppError ? { code: error.code } : { err: error }) };
      const text = `verdict not written yet, retrying: ${messageOf(error)}`;
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
