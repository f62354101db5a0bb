/**
 * The subscribers that follow a config, at any member: a key per subscriber and member, under the member's lease. So a
 * rollout also waits for subscribers that have not acknowledged yet and are connected to another member, and does not wait
 * for subscribers that are gone.
 */
import { AppError, decodeJson, encodeJson, fullJitter, messageOf, Trigger, type Host } from "#base";
import { type Op, type Store, StoreErrors, TXN_OPS_MAX } from "#store";
import type { Labels, SetName } from "../api.ts";
import { subscriberKey, SUBSCRIBERS_PREFIX } from "../core/keys.ts";
import { SubscriberView } from "./subscriber-view.ts";

/** Milliseconds over which arrivals and departures are gathered into transactions. */
const GATHER_MS = 20;
/** Milliseconds that a disconnected subscriber still counts as present, since it is likely to reconnect. */
export const LINGER_MS = 10_000;
const RETRY = { baseMs: 200, capMs: 5_000 };

/** This member of the control plane, and its lease. */
export interface Member {
  readonly id: string;
  readonly lease: string | undefined;
  onChange(listener: () => void): () => void;
}

/** A present subscriber of a set. */
export interface Present {
  readonly labels: Labels;
  /** Id of its principal; absent in records of members of an earlier version. */
  readonly by?: string;
  readonly since: string;
}

interface Wanted {
  readonly value: Present;
  /** Watches and long polls that are open. */
  open: number;
  cancel: () => void;
}

export class Subscribers {
  readonly #host: Host;
  readonly #store: Store;
  readonly #member: Member;
  /** By member. */
  readonly #view: SubscriberView<Map<string, Present>>;
  /** By key: those of this member. */
  readonly #wanted = new Map<string, Wanted>();
  readonly #dirty = new Set<string>();
  readonly #wake = new Trigger();
  #lease: string | undefined;

  constructor(host: Host, store: Store, member: Member) {
    this.#host = host;
    this.#store = store;
    this.#member = member;
    this.#view = new SubscriberView(host, store, {
      name: "subscribers",
      prefix: SUBSCRIBERS_PREFIX,
      put: (members = new Map(), value, subscribedAt) => members.set(subscribedAt, decodeJson<Present>(value)),
      remove: (members, subscribedAt) => {
        members.delete(subscribedAt);
        return members.size === 0 ? undefined : members;
      },
    });
  }

  /**
   * Whether a name belongs to another principal that is present at any member. A subscriber that is gone frees its name,
   * for example when a host gets another token.
   */
  isTaken(name: SetName, subscriber: string, by: string): boolean {
    const members = this.#view.of(name).get(subscriber);
    const others = [...(members?.values() ?? [])].filter((one) => one.by !== undefined);
    return others.length > 0 && others.every((one) => one.by !== by);
  }

  /** Counts a subscriber as present until the returned function is called, and for `LINGER_MS` after that. */
  attach(name: SetName, subscriber: string, { labels, by }: Pick<Present, "labels"> & { by: string }): () => void {
    const key = subscriberKey(name, subscriber, this.#member.id);
    const known = this.#wanted.get(key);
    // The caller reads the config under that name, but does not count as that subscriber.
    if (this.isTaken(name, subscriber, by) || (known && known.value.by !== by)) return () => {};
    known?.cancel();
    const same = known !== undefined && JSON.stringify(known.value.labels) === JSON.stringify(labels);
    const since = known?.value.since ?? new Date(this.#host.clock.now()).toISOString();
    const wanted: Wanted = same ? known : { value: { labels, by, since }, open: known?.open ?? 0, cancel: () => {} };
    wanted.open++;
    this.#wanted.set(key, wanted);
    if (!same) this.#touch(key);
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      const now = this.#wanted.get(key);
      if (!now || --now.open > 0) return;
      now.cancel = this.#host.clock.after(LINGER_MS, () => {
        this.#wanted.delete(key);
        this.#touch(key);
      });
    };
  }

  /** The subscribers of a set that are present at any member. */
  of(name: SetName): ReadonlyMap<string, Present> {
    const found = new Map<string, Present>();
    for (const [subscriber, members] of this.#view.of(name)) {
      for (const present of members.values()) found.set(subscriber, present);
    }
    return found;
  }

  /** One present subscriber. Each acknowledgement needs it, so this does not build the map of all. */
  one(name: SetName, subscriber: string): Present | undefined {
    const members = this.#view.of(name).get(subscriber);
    let last: Present | undefined;
    for (const present of members?.values() ?? []) last = present;
    return last;
  }

  /** Whether the store is followed. While it is not, the subscribers may be old. */
  get connected(): boolean {
    return this.#view.connected;
  }

  /** Ids of sets with subscribers. */
  sets(): Iterable<string> {
    return this.#view.sets();
  }

  /** Calls the listener after every change. */
  onChange(listener: () => void): () => void {
    return this.#view.onChange(listener);
  }

  /** Follows the store, and writes the subscribers of this member, until the signal aborts. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    // A member with a new lease has lost the keys of its old one.
    const off = this.#member.onChange(() => {
      if (this.#member.lease === this.#lease) return;
      for (const key of this.#wanted.keys()) this.#touch(key);
    });
    try {
      await Promise.all([this.#view.run(signal), this.#write(signal)]);
    } finally {
      off();
      for (const { cancel } of this.#wanted.values()) cancel();
    }
  }

  async #write(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      await this.#wake.wait(signal);
      await this.#host.clock.sleep(GATHER_MS, signal).catch(() => {});
      while (this.#dirty.size > 0 && !signal.aborted) {
        const batch = [...this.#dirty].slice(0, TXN_OPS_MAX);
        for (const key of batch) this.#dirty.delete(key);
        try {
          const { lease } = this.#member;
          // A disconnected member has no lease. Once it has one again, it writes its subscribers.
          if (lease === undefined) throw StoreErrors.LEASE_NOT_FOUND("This member has no lease at the moment.");
          await this.#store.txn({ then: batch.map((key) => this.#op(key, lease)) });
          this.#lease = lease;
          failures = 0;
        } catch (error) {
          if (!(error instanceof AppError)) throw error;
          for (const key of batch) this.#dirty.add(key);
          this.#host.log.debug({ code: error.code }, `subscribers were not written: ${messageOf(error)}`);
          await this.#host.clock.sleep(fullJitter(this.#host.random, failures++, RETRY), signal).catch(() => {});
        }
      }
    }
  }

  #op(key: string, lease: string): Op {
    const wanted = this.#wanted.get(key);
    return wanted ? { type: "put", key, value: encodeJson(wanted.value), lease } : { type: "delete", key };
  }

  #touch(key: string): void {
    this.#dirty.add(key);
    this.#wake.fire();
  }
}
