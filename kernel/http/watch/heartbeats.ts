/** When a hub's subscribers receive heartbeats: in turns, or all at once when the age or coldness of the data changes. */
import type { CancelTimer, Clock } from "#base";
import type { Frame } from "../frames.ts";

/**
 * Milliseconds between a subscriber's heartbeats. Readers give up on a server that is silent for two seconds
 * (client/core/members.ts), and one heartbeat costs some ten microseconds.
 */
export const HEARTBEAT_MS = 1_500;
/** Turns of one interval: ten thousand writes at once would delay every delta. */
const HEARTBEAT_TURNS = 20;
/** Age of the data, in milliseconds, above which all subscribers are notified at once instead of in their turn. */
const AGE_NOTIFIED_MS = 3_000;

/** How current the data of a hub is. */
export type DataState = Pick<Frame, "ageMs" | "cold">;

export class Heartbeats<Subscriber> implements Disposable {
  readonly #clock: Clock;
  readonly #state: () => DataState;
  readonly #send: (subscribers: Iterable<Subscriber>) => void;
  readonly #turns = Array.from({ length: HEARTBEAT_TURNS }, () => new Set<Subscriber>());
  #added = 0;
  #cancel: CancelTimer = () => {};
  #wasOld = false;
  #wasCold = false;

  /** `send` is called with at least one subscriber. */
  constructor(clock: Clock, state: () => DataState, send: (subscribers: Iterable<Subscriber>) => void) {
    this.#clock = clock;
    this.#state = state;
    this.#send = send;
    this.#schedule(0);
  }

  add(subscriber: Subscriber): void {
    this.#turns[this.#added++ % HEARTBEAT_TURNS]?.add(subscriber);
  }

  delete(subscriber: Subscriber): void {
    for (const subscribers of this.#turns) if (subscribers.delete(subscriber)) return;
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }

  #schedule(turn: number): void {
    this.#cancel = this.#clock.after(HEARTBEAT_MS / HEARTBEAT_TURNS, () => {
      const { ageMs = 0, cold = false } = this.#state();
      const isOld = ageMs > AGE_NOTIFIED_MS;
      const hasChanged = (isOld && !this.#wasOld) || cold !== this.#wasCold;
      this.#wasOld = isOld;
      this.#wasCold = cold;
      const due = hasChanged ? this.#turns : this.#turns.slice(turn, turn + 1);
      const subscribers = due.flatMap((part) => [...part]);
      if (subscribers.length > 0) this.#send(subscribers);
      this.#schedule((turn + 1) % HEARTBEAT_TURNS);
    });
  }
}
