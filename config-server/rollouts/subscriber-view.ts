/** Records of subscribers under one prefix of the store, in memory by set and subscriber, and kept up to date. */
import type { Host } from "#base";
import { type Store, View } from "#store";
import type { SetName } from "../api.ts";
import { setId } from "../core/keys.ts";

/** How the entries of one subscriber become its record. A key is `NS/APP/PROFILE/SUBSCRIBER`, or that with `/MEMBER`. */
export interface SubscriberViewOptions<Found> {
  readonly name: string;
  readonly prefix: string;
  /** `member` is empty when keys have none. */
  readonly put: (before: Found | undefined, value: Uint8Array, member: string) => Found;
  /** Undefined when nothing is left of the record. */
  readonly remove: (before: Found, member: string) => Found | undefined;
}

export class SubscriberView<Found> {
  readonly #options: SubscriberViewOptions<Found>;
  readonly #view: View;
  readonly #listeners = new Set<() => void>();
  /** By set, then by subscriber. */
  readonly #found = new Map<string, Map<string, Found>>();

  constructor(host: Host, store: Store, options: SubscriberViewOptions<Found>) {
    this.#options = options;
    this.#view = new View(host, store, {
      name: options.name,
      prefix: options.prefix,
      reset: (entries) => {
        this.#found.clear();
        for (const { key, value } of entries) this.#put(key, value);
        this.#notify();
      },
      apply: ({ events }) => {
        for (const event of events) {
          if (event.type === "put") this.#put(event.entry.key, event.entry.value);
          else this.#remove(event.key);
        }
        if (events.length > 0) this.#notify();
      },
    });
  }

  /** Follows the store. Give it to a TaskGroup. */
  run(signal: AbortSignal): Promise<void> {
    return this.#view.run(signal);
  }

  /** Whether the store is followed. While it is not, the records may be old. */
  get connected(): boolean {
    return this.#view.connected;
  }

  of(name: SetName): ReadonlyMap<string, Found> {
    return this.#found.get(setId(name)) ?? new Map<string, Found>();
  }

  /** Ids of the sets that have records. */
  sets(): Iterable<string> {
    return this.#found.keys();
  }

  /** Calls the listener after every change. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  #put(key: string, value: Uint8Array): void {
    const { set, subscriber, member } = this.#parse(key);
    let subscribers = this.#found.get(set);
    if (!subscribers) this.#found.set(set, (subscribers = new Map()));
    subscribers.set(subscriber, this.#options.put(subscribers.get(subscriber), value, member));
  }

  #remove(key: string): void {
    const { set, subscriber, member } = this.#parse(key);
    const subscribers = this.#found.get(set);
    const before = subscribers?.get(subscriber);
    if (!subscribers || before === undefined) return;
    const after = this.#options.remove(before, member);
    if (after === undefined) subscribers.delete(subscriber);
    else subscribers.set(subscriber, after);
    if (subscribers.size === 0) this.#found.delete(set);
  }

  #parse(key: string): { readonly set: string; readonly subscriber: string; readonly member: string } {
    const { length } = this.#options.prefix;
    const [namespace, app, profile, subscriber = "", member = ""] = key.slice(length).split("/");
    return { set: `${namespace}/${app}/${profile}`, subscriber, member };
  }
}
