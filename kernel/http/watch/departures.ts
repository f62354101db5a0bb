/**
 * Acknowledging subscribers whose stream was cut. Each counts as subscribed for a grace period, with the revision that it last
 * acknowledged, so that a reconnect does not look like an acknowledgement.
 */
import type { CancelTimer, Clock } from "#base";
import type { Subscription } from "./subscription.ts";

/** Milliseconds for which a departed subscriber still counts: time enough to reconnect. */
const SUBSCRIBER_GRACE_MS = 10_000;

interface DepartedSubscriber {
  readonly subscriber: string;
  readonly topics: readonly string[];
  readonly sees: Subscription["sees"];
  /** The last revision that it acknowledged. */
  readonly seen: number;
  readonly cancel: CancelTimer;
}

export class Departures {
  readonly #clock: Clock;
  readonly #onLapsed: () => void;
  /** By name, principal and topics. One key may have several, because several processes may share a name. */
  readonly #departed = new Map<string, DepartedSubscriber[]>();

  /** `onLapsed` is called when a grace period ends without a reconnect. */
  constructor(clock: Clock, onLapsed: () => void) {
    this.#clock = clock;
    this.#onLapsed = onLapsed;
  }

  /** The stream was cut. Does nothing for a subscription without a name. */
  add(subscription: Subscription, seen: number): void {
    const { subscriber, topics, sees } = subscription;
    if (subscriber === undefined) return;
    const key = departedKey(subscription);
    const cancel = this.#clock.after(SUBSCRIBER_GRACE_MS, () => {
      this.#remove(key, departed);
      this.#onLapsed();
    });
    const departed = { subscriber, topics, sees, seen, cancel };
    this.#departed.set(key, [...(this.#departed.get(key) ?? []), departed]);
  }

  /** The subscriber has reconnected. */
  returned(subscription: Subscription): void {
    if (subscription.subscriber === undefined) return;
    const key = departedKey(subscription);
    // Several processes of one name are indistinguishable. Keeping the least advanced ones is the safe choice.
    const [furthest] = (this.#departed.get(key) ?? []).toSorted((a, b) => b.seen - a.seen);
    if (furthest) this.#remove(key, furthest);
  }

  /** Names of departed subscribers of any of the topics that have not acknowledged a revision. */
  *unseen(topics: readonly string[], revision: number): Iterable<string> {
    for (const { subscriber, topics: theirs, sees, seen } of [...this.#departed.values()].flat()) {
      if (seen >= revision || !theirs.some((topic) => topics.includes(topic))) continue;
      if (!sees || sees(topics)) yield subscriber;
    }
  }

  clear(): void {
    for (const { cancel } of [...this.#departed.values()].flat()) cancel();
    this.#departed.clear();
  }

  #remove(key: string, departed: DepartedSubscriber): void {
    departed.cancel();
    const others = this.#departed.get(key)?.filter((other) => other !== departed) ?? [];
    if (others.length > 0) this.#departed.set(key, others);
    else this.#departed.delete(key);
  }
}

/** Includes the principal, because only the principal whose stream was cut can return as that subscriber. */
function departedKey({ subscriber = "", topics, principal }: Subscription): string {
  return `${subscriber} ${principal?.id ?? ""} ${topics.join(" ")}`;
}
