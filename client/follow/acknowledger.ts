/**
 * Acknowledges the releases that a process runs: `applied` once all its watches have applied one, `failed` as soon as one
 * watch could not. The server keeps one acknowledgement per subscriber, so this combines those of all watches.
 */
import { messageOf, type AppError, type Host } from "#base";
import type { Acknowledge, EffectiveConfig, Identity, SetName } from "#config-server/api";
import { AcknowledgementOutbox, type OutboxOptions } from "./outbox.ts";

/** Milliseconds after which it is sent again: the server forgets it after an hour. */
export const REPEAT_MS = 1_800_000;
/** Milliseconds that a process which stops waits for its last acknowledgement to arrive. */
const FAREWELL_MS_MAX = 1_000;

/** A watch's answer to the value that it was given. Only the first one counts. */
export interface Delivery {
  applied(): void;
  failed(error: unknown): void;
}

/** How a watch answered a value; undefined: not yet. */
type DeliveryOutcome = { readonly error?: string } | undefined;

export interface AcknowledgerOptions {
  readonly acknowledge: OutboxOptions["send"];
  readonly name: SetName;
  readonly subscriber: string;
  /** Gradual releases select the subscriber by these. */
  readonly labels: Identity["labels"] | undefined;
  readonly tell: (problem: AppError) => void;
}

export class Acknowledger implements AsyncDisposable {
  readonly #options: AcknowledgerOptions;
  readonly #outbox: AcknowledgementOutbox;
  readonly #watches = new Set<JoinedWatch>();

  constructor(host: Host, options: AcknowledgerOptions) {
    this.#options = options;
    this.#outbox = new AcknowledgementOutbox(host, {
      send: options.acknowledge,
      repeatMs: REPEAT_MS,
      farewellMs: FAREWELL_MS_MAX,
      onRejected: (error) => options.tell(error as AppError),
    });
  }

  /** Adds a watch, which counts until it leaves. */
  join(): JoinedWatch {
    const watch = new JoinedWatch(
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
    let latest: JoinedWatch["at"];
    for (const { at } of this.#watches) if (at && at.revision >= (latest?.revision ?? 1)) latest = at;
    if (!latest) return;
    const { releaseKey } = latest;
    const there = [...this.#watches].filter(({ at }) => at?.releaseKey === releaseKey);
    const errors = there.flatMap(({ outcome }) => (outcome?.error === undefined ? [] : [outcome.error]));
    const isComplete = there.length === this.#watches.size && there.every(({ outcome }) => outcome !== undefined);
    if (errors.length > 0) this.#put({ releaseKey, outcome: "failed", error: [...new Set(errors)].join("; ") });
    else if (isComplete) this.#put({ releaseKey, outcome: "applied" });
  }

  #put(body: Acknowledge): void {
    const { name, subscriber, labels } = this.#options;
    this.#outbox.put(name, subscriber, labels ? { ...body, labels } : body);
  }

  /** Sends what is still due, if a server answers soon. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#outbox[Symbol.asyncDispose]();
  }
}

/** One watch: the release that it is at, and its answer to the value of that release. */
export class JoinedWatch {
  readonly #changed: () => void;
  readonly leave: () => void;
  at: Pick<EffectiveConfig, "releaseKey" | "revision"> | undefined;
  #holds: { outcome: DeliveryOutcome } | undefined;
  readonly #deliveries = new WeakMap<Delivery, { outcome: DeliveryOutcome }>();

  constructor(changed: () => void, leave: () => void) {
    this.#changed = changed;
    this.leave = leave;
  }

  get outcome(): DeliveryOutcome {
    return this.#holds?.outcome;
  }

  /** Gives the watch the value of a release. The release is not applied before the watch answers. */
  deliver(at: EffectiveConfig): Delivery {
    const holds: { outcome: DeliveryOutcome } = { outcome: undefined };
    const answer = (outcome: DeliveryOutcome) => {
      if (holds.outcome !== undefined) return;
      holds.outcome = outcome;
      this.#changed();
    };
    this.#moveTo(at, holds);
    const delivery = {
      applied: () => answer({}),
      failed: (error: unknown) => answer({ error: messageOf(error) }),
    };
    this.#deliveries.set(delivery, holds);
    return delivery;
  }

  /** Moves to a release that does not change the watch's value: its answer to the earlier delivery counts for this one, too. */
  keep(at: EffectiveConfig, delivery: Delivery): void {
    this.#moveTo(at, this.#deliveries.get(delivery));
  }

  #moveTo(at: EffectiveConfig, holds: { outcome: DeliveryOutcome } | undefined): void {
    this.at = at;
    this.#holds = holds;
    this.#changed();
  }
}
