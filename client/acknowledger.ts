/**
 * Tells the server which release a process runs: `applied` once all its watches have taken it over, `failed` as soon as one
 * could not. The server knows one word per subscriber, so that of many watches is put together here.
 */
import { AppError, deadline, fullJitter, messageOf, TaskGroup, Trigger, type Host, startOf } from "#base";
import type { Acknowledge, EffectiveConfig, Identity, SetName } from "#config-server/api";
import type { CallOptions } from "./calls/caller.ts";

/** Characters of an error that the server takes. */
const ERROR_CHARS_MAX = 1024;
/** Milliseconds after which it is said again: the server forgets it after an hour. */
export const REPEAT_MS = 1_800_000;
const RETRY = { baseMs: 200, capMs: 30_000 };
/** Milliseconds that a process which stops waits to have its last word heard. */
const FAREWELL_MS_MAX = 1_000;

/** What a watch says of the value that it was given; the first word stands. */
export interface Delivery {
  applied(): void;
  failed(error: unknown): void;
}

type Verdict = { readonly error?: string } | undefined;

export interface AcknowledgerOptions {
  readonly acknowledge: (name: SetName, subscriber: string, body: Acknowledge, options: CallOptions) => Promise<void>;
  readonly name: SetName;
  readonly subscriber: string;
  /** By which gradual releases find it. */
  readonly labels: Identity["labels"] | undefined;
  readonly tell: (problem: AppError) => void;
}

export class Acknowledger implements AsyncDisposable {
  readonly #host: Host;
  readonly #options: AcknowledgerOptions;
  readonly #tasks: TaskGroup;
  readonly #trigger = new Trigger();
  readonly #watches = new Set<WatchStand>();
  #wanted: Acknowledge | undefined;
  #said: Acknowledge | undefined;
  #running = false;

  constructor(host: Host, options: AcknowledgerOptions) {
    this.#host = host;
    this.#options = options;
    this.#tasks = new TaskGroup(host.log);
  }

  /** One more watch whose word counts, until it leaves. */
  join(): WatchStand {
    const watch = new WatchStand(
      () => this.#judge(),
      () => {
        this.#watches.delete(watch);
        this.#judge();
      },
    );
    this.#watches.add(watch);
    return watch;
  }

  #judge(): void {
    let latest: WatchStand["at"];
    for (const { at } of this.#watches) if (at && at.revision >= (latest?.revision ?? 1)) latest = at;
    if (!latest) return;
    const { releaseKey } = latest;
    const there = [...this.#watches].filter(({ at }) => at?.releaseKey === releaseKey);
    const errors = there.flatMap(({ verdict }) => (verdict?.error === undefined ? [] : [verdict.error]));
    const all = there.length === this.#watches.size && there.every(({ verdict }) => verdict !== undefined);
    if (errors.length > 0) {
      const error = startOf([...new Set(errors)].join("; "), ERROR_CHARS_MAX);
      this.#want({ releaseKey, outcome: "failed", error });
    } else if (all) this.#want({ releaseKey, outcome: "applied" });
  }

  #want(wanted: Acknowledge): void {
    if (JSON.stringify(wanted) === JSON.stringify(this.#wanted ?? this.#said)) return;
    this.#wanted = wanted;
    if (!this.#running && !this.#tasks.signal.aborted) {
      this.#running = true;
      this.#tasks.run("config acknowledgements", (signal) => this.#run(signal));
    }
    this.#trigger.fire();
  }

  async #run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      const wanted = this.#wanted;
      if (!wanted) {
        const cancel = this.#host.clock.after(REPEAT_MS, () => {
          this.#wanted ??= this.#said;
          this.#trigger.fire();
        });
        await this.#trigger.wait(signal);
        cancel();
        continue;
      }
      if (await this.#send(wanted, signal)) failures = 0;
      else await this.#host.clock.sleep(fullJitter(this.#host.random, failures++, RETRY), signal).catch(() => {});
    }
  }

  /** Whether it is done with: heard, or refused for good. */
  async #send(wanted: Acknowledge, signal: AbortSignal): Promise<boolean> {
    const { acknowledge, name, subscriber, labels, tell } = this.#options;
    try {
      await acknowledge(name, subscriber, labels ? { ...wanted, labels } : wanted, { signal });
      this.#said = wanted;
    } catch (error) {
      const refused = error instanceof AppError && error.status < 500 && error.status !== 429;
      if (!refused) {
        this.#host.log.debug({ err: error, subscriber }, `not acknowledged: ${messageOf(error)}`);
        return false;
      }
      tell(error);
    }
    if (this.#wanted === wanted) this.#wanted = undefined;
    return true;
  }

  /** Sends what is still to be said, if a server answers soon. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
    if (!this.#wanted) return;
    using late = deadline(this.#host.clock, FAREWELL_MS_MAX);
    await this.#send(this.#wanted, late.signal);
  }
}

/** Where one watch stands: at which release, and what it said of the value that it holds. */
export class WatchStand {
  readonly #changed: () => void;
  readonly leave: () => void;
  at: Pick<EffectiveConfig, "releaseKey" | "revision"> | undefined;
  #holds: { verdict: Verdict } | undefined;

  constructor(changed: () => void, leave: () => void) {
    this.#changed = changed;
    this.leave = leave;
  }

  get verdict(): Verdict {
    return this.#holds?.verdict;
  }

  /** A value of a release; until its word is said, the release is not taken over. */
  deliver(at: EffectiveConfig): Delivery {
    const holds: { verdict: Verdict } = { verdict: undefined };
    const say = (verdict: Verdict) => {
      if (holds.verdict !== undefined) return;
      holds.verdict = verdict;
      this.#changed();
    };
    this.#stand(at, holds);
    const delivery = {
      applied: () => say({}),
      failed: (error: unknown) => say({ error: messageOf(error) }),
    };
    this.#deliveries.set(delivery, holds);
    return delivery;
  }

  /** A release that gives this watch the value it was given before: what it said, or will say, of that holds for it. */
  keep(at: EffectiveConfig, delivery: Delivery): void {
    this.#stand(at, this.#deliveries.get(delivery));
  }

  readonly #deliveries = new WeakMap<Delivery, { verdict: Verdict }>();

  #stand(at: EffectiveConfig, holds: { verdict: Verdict } | undefined): void {
    this.at = at;
    this.#holds = holds;
    this.#changed();
  }
}
