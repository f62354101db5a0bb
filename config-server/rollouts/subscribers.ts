/**
 * Who follows a config, on whichever member: a key per subscriber and member, by the member's lease. So a gradual release
 * waits for those, too, that have said nothing yet and are connected elsewhere, and not for those that have gone.
 */
import { AppError, decodeJson, encodeJson, fullJitter, messageOf, Trigger, type Host } from "#base";
import { type Op, type Store, StoreErrors, TXN_OPS_MAX, View } from "#store";
import type { Labels, SetName } from "../api.ts";
import { setId, subscriberKey, SUBSCRIBERS_PREFIX } from "../core/keys.ts";

/** Milliseconds over which comings and goings are gathered into transactions. */
const GATHER_MS = 20;
/** Milliseconds that one that was cut off still counts as there: it is coming back. */
export const LINGER_MS = 10_000;
const RETRY = { baseMs: 200, capMs: 5_000 };

/** This member of the control plane, and the lease that it lives by. */
export interface Member {
  readonly id: string;
  readonly lease: string | undefined;
  onChange(listener: () => void): () => void;
}

/** A subscriber of a set that is there. */
export interface Present {
  readonly labels: Labels;
  /** Id of the principal that it is; absent: of a member of an earlier version. */
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
  readonly #view: View;
  /** By set, then by subscriber, then by member. */
  readonly #known = new Map<string, Map<string, Map<string, Present>>>();
  readonly #listeners = new Set<() => void>();
  /** By key: those of this member. */
  readonly #wanted = new Map<string, Wanted>();
  readonly #dirty = new Set<string>();
  readonly #wake = new Trigger();
  #lease: string | undefined;

  constructor(host: Host, store: Store, member: Member) {
    this.#host = host;
    this.#store = store;
    this.#member = member;
    this.#view = new View(host, store, {
      name: "subscribers",
      prefix: SUBSCRIBERS_PREFIX,
      reset: (entries) => {
        this.#known.clear();
        for (const { key, value } of entries) this.#put(key, value);
        this.#tell();
      },
      apply: ({ events }) => {
        for (const event of events) {
          if (event.type === "put") this.#put(event.entry.key, event.entry.value);
          else this.#delete(event.key);
        }
        if (events.length > 0) this.#tell();
      },
    });
  }

  /**
   * Whether a name is another principal's: somebody else is there by it, on any member. A subscriber that has gone leaves
   * its name to whoever comes next, as when a host gets another token.
   */
  isTaken(name: SetName, subscriber: string, by: string): boolean {
    const members = this.#known.get(setId(name))?.get(subscriber);
    const others = [...(members?.values() ?? [])].filter((one) => one.by !== undefined);
    return others.length > 0 && others.every((one) => one.by !== by);
  }

  /** Counts somebody in until what is returned is called, and a little longer. */
  attach(name: SetName, subscriber: string, { labels, by }: Pick<Present, "labels"> & { by: string }): () => void {
    const key = subscriberKey(name, subscriber, this.#member.id);
    const known = this.#wanted.get(key);
    // Told as that subscriber, but not counted in its place.
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

  /** Those of a set that are there, on any member. */
  of(name: SetName): ReadonlyMap<string, Present> {
    const found = new Map<string, Present>();
    for (const [subscriber, members] of this.#known.get(setId(name)) ?? []) {
      for (const present of members.values()) found.set(subscriber, present);
    }
    return found;
  }

  /** One of them: asked for at every acknowledgement, so nothing is made of all the others for it. */
  one(name: SetName, subscriber: string): Present | undefined {
    const members = this.#known.get(setId(name))?.get(subscriber);
    let last: Present | undefined;
    for (const present of members?.values() ?? []) last = present;
    return last;
  }

  /** Whether the store is followed. While it is not, what is known may be old. */
  get connected(): boolean {
    return this.#view.connected;
  }

  /** Ids of sets that somebody follows. */
  sets(): Iterable<string> {
    return this.#known.keys();
  }

  /** Called after every change. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Follows the store, and writes who is here, until the signal aborts. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    // Whoever counts itself in anew may have lost what lived by its lease before.
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
          // A member that is cut off stands nowhere; once it is back it says who is here.
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

  #put(key: string, value: Uint8Array): void {
    const { set, subscriber, member } = placeOf(key);
    let subscribers = this.#known.get(set);
    if (!subscribers) this.#known.set(set, (subscribers = new Map()));
    let members = subscribers.get(subscriber);
    if (!members) subscribers.set(subscriber, (members = new Map()));
    members.set(member, decodeJson<Present>(value));
  }

  #delete(key: string): void {
    const { set, subscriber, member } = placeOf(key);
    const subscribers = this.#known.get(set);
    const members = subscribers?.get(subscriber);
    members?.delete(member);
    if (members?.size === 0) subscribers?.delete(subscriber);
    if (subscribers?.size === 0) this.#known.delete(set);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function placeOf(key: string): { readonly set: string; readonly subscriber: string; readonly member: string } {
  const [namespace, app, profile, subscriber = "", member = ""] = key.slice(SUBSCRIBERS_PREFIX.length).split("/");
  return { set: `${namespace}/${app}/${profile}`, subscriber, member };
}
