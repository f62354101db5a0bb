/**
 * Sends acknowledgements to the config server: for each config set and subscriber the latest one, repeated until the server
 * accepts or rejects it, and sent again before the server forgets it.
 */
import { canonicalJson, deadline, fullJitter, messageOf, startOf, TaskGroup, Trigger, type Host } from "#base";
import type { Acknowledge, SetName } from "#config-server/api";
import type { CallOptions } from "../calls/caller.ts";
import { isTransient } from "../transient.ts";

/** Characters of an error that the server accepts. */
const ERROR_CHARS_MAX = 1024;
/** Back-off while the server does not answer. Milliseconds. */
const RETRY = { baseMs: 200, capMs: 30_000 };

export interface OutboxOptions {
  readonly send: (name: SetName, subscriber: string, body: Acknowledge, options: CallOptions) => Promise<void>;
  /** Milliseconds after which every acknowledgement is sent again; absent: never. The server forgets them after an hour. */
  readonly repeatMs?: number;
  /** Milliseconds that disposing may take to send what is still due; absent: nothing more is sent. */
  readonly farewellMs?: number;
  readonly onAccepted?: (body: Acknowledge) => void;
  /** Called at each try without an answer. The acknowledgement is sent again. */
  readonly onUnanswered?: (error: unknown) => void;
  /** Called once for each acknowledgement and reason. */
  readonly onRejected: (error: unknown, name: SetName) => void;
}

interface OutboxEntry {
  readonly name: SetName;
  readonly subscriber: string;
  readonly body: Acknowledge;
  /** Whether it is forgotten once the server has answered. */
  readonly isOnce: boolean;
  /** Monotonic. Undefined: not yet sent. Each entry has its own, so that news of one set does not put off another's repetition. */
  sentAtMs: number | undefined;
  rejection: string | undefined;
}

export class AcknowledgementOutbox implements AsyncDisposable {
  readonly #host: Host;
  readonly #options: OutboxOptions;
  readonly #tasks: TaskGroup;
  readonly #news = new Trigger();
  readonly #entries = new Map<string, OutboxEntry>();
  #isRunning = false;

  constructor(host: Host, options: OutboxOptions) {
    this.#host = host;
    this.#options = options;
    this.#tasks = new TaskGroup(host.log);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Replaces the subscriber's acknowledgement of a set. The same body again sends nothing. */
  put(name: SetName, subscriber: string, given: Acknowledge, { isOnce = false } = {}): void {
    const body = given.error === undefined ? given : { ...given, error: startOf(given.error, ERROR_CHARS_MAX) };
    const key = entryKeyOf(name, subscriber);
    const known = this.#entries.get(key);
    if (known && canonicalJson(known.body) === canonicalJson(body)) return;
    this.#entries.set(key, { name, subscriber, body, isOnce, sentAtMs: undefined, rejection: undefined });
    if (!this.#isRunning && !this.#tasks.signal.aborted) {
      this.#isRunning = true;
      this.#tasks.run("config acknowledgements", (signal) => this.#run(signal));
    }
    this.#news.fire();
  }

  /** Forgets an acknowledgement, sent or not. */
  remove(name: SetName, subscriber: string): void {
    this.#entries.delete(entryKeyOf(name, subscriber));
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#host;
    let failures = 0;
    while (!signal.aborted) {
      const isAnswered = await this.#sendDue(signal);
      const waitMs = isAnswered ? this.#nextDueMs() - clock.monotonic() : fullJitter(random, failures, RETRY);
      failures = isAnswered ? 0 : failures + 1;
      const cancel = waitMs === Infinity ? undefined : clock.after(Math.max(0, waitMs), () => this.#news.fire());
      await this.#news.wait(signal);
      cancel?.();
    }
  }

  #dueMs({ sentAtMs }: OutboxEntry): number {
    return sentAtMs === undefined ? Number.NEGATIVE_INFINITY : sentAtMs + (this.#options.repeatMs ?? Infinity);
  }

  #nextDueMs(): number {
    return [...this.#entries.values()].reduce((least, entry) => Math.min(least, this.#dueMs(entry)), Infinity);
  }

  /** False: the server did not answer, and the rest is still due. */
  async #sendDue(signal: AbortSignal): Promise<boolean> {
    for (const entry of this.#entries.values()) {
      const isDue = this.#dueMs(entry) <= this.#host.clock.monotonic();
      if (isDue && !(await this.#send(entry, signal))) return false;
    }
    return true;
  }

  async #send(entry: OutboxEntry, signal: AbortSignal): Promise<boolean> {
    const { name, subscriber, body, isOnce } = entry;
    const { send, onAccepted, onUnanswered, onRejected } = this.#options;
    try {
      await send(name, subscriber, body, { signal });
      onAccepted?.(body);
    } catch (error) {
      if (signal.aborted) return false;
      if (isTransient(error)) {
        this.#host.log.debug({ ...name, err: error, subscriber }, `not acknowledged: ${messageOf(error)}`);
        onUnanswered?.(error);
        return false;
      }
      if (entry.rejection !== messageOf(error)) onRejected(error, name);
      entry.rejection = messageOf(error);
    }
    entry.sentAtMs = this.#host.clock.monotonic();
    const key = entryKeyOf(name, subscriber);
    if (isOnce && this.#entries.get(key) === entry) this.#entries.delete(key);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
    const { farewellMs } = this.#options;
    if (farewellMs === undefined) return;
    using late = deadline(this.#host.clock, farewellMs);
    await this.#sendDue(late.signal);
  }
}

function entryKeyOf({ namespace, app, profile }: SetName, subscriber: string): string {
  return `${namespace}/${app}/${profile}/${subscriber}`;
}
