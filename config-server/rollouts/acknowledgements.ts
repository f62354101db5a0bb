/**
 * Who runs which release, and how late it came to it: what each subscriber says it has applied, or why it could not.
 * Acknowledgements come in thousands at once, so those of a moment share a transaction; each is answered once it is durable.
 * They live by the session of whoever sends them, or for an hour.
 */
import { decodeJson, encodeJson, type Host } from "#base";
import { SharedLease, type Store, StoreErrors, TXN_OPS_MAX, View } from "#store";
import {
  ConfigErrors,
  type Acknowledge,
  type Acknowledgement,
  type AcknowledgementList,
  type AcknowledgementView,
  type Labels,
  type SetName,
} from "../api.ts";
import type { ConfigServer } from "../releases/config-server.ts";
import { acknowledgementKey, ACKNOWLEDGEMENTS_PREFIX, setId } from "../core/keys.ts";
import type { Present, Subscribers } from "./subscribers.ts";

/** Seconds that an acknowledgement without a session is kept; whoever is still there says it again sooner. */
const KEEP_SECONDS = 3_600;
/** Milliseconds over which acknowledgements are gathered into one transaction. */
const GATHER_MS = 5;

interface Waiting {
  readonly key: string;
  readonly value: Uint8Array;
  readonly lease: string;
  readonly done: (error?: unknown) => void;
}

/** What somebody said, and whether that lives by a session, and so somebody is there. */
export interface Said extends Acknowledgement {
  readonly session: boolean;
  /** Id of the principal that said it; absent: of a version that did not keep it. */
  readonly by?: string;
}

export class Acknowledgements {
  readonly #host: Host;
  readonly #store: Store;
  readonly #config: ConfigServer;
  readonly #subscribers: Subscribers;
  readonly #listeners = new Set<() => void>();
  readonly #view: View;
  readonly #lease: SharedLease;
  /** By set, then by subscriber. */
  readonly #known = new Map<string, Map<string, Said>>();
  #waiting: Waiting[] = [];
  #gathering = false;

  constructor(host: Host, store: Store, { config, subscribers }: { config: ConfigServer; subscribers: Subscribers }) {
    this.#host = host;
    this.#store = store;
    this.#config = config;
    this.#subscribers = subscribers;
    this.#lease = new SharedLease(host, store, KEEP_SECONDS);
    this.#view = new View(host, store, {
      name: "acknowledgements",
      prefix: ACKNOWLEDGEMENTS_PREFIX,
      reset: (entries) => {
        this.#known.clear();
        for (const { key, value } of entries) this.#put(key, value);
        this.#tell();
      },
      apply: ({ events }) => {
        for (const event of events) {
          if (event.type === "put") this.#put(event.entry.key, event.entry.value);
          else {
            const { set, subscriber } = placeOf(event.key);
            const subscribers = this.#known.get(set);
            subscribers?.delete(subscriber);
            if (subscribers?.size === 0) this.#known.delete(set);
          }
        }
        if (events.length > 0) this.#tell();
      },
    });
  }

  /** Follows the store. Give it to a TaskGroup. */
  run(signal: AbortSignal): Promise<void> {
    return this.#view.run(signal);
  }

  /** Whether the store is followed. While it is not, what is known may be old. */
  get connected(): boolean {
    return this.#view.connected;
  }

  /**
   * Resolves once it is durable. `by`: the caller's principal, which must be the one that the subscriber is.
   * @throws CONFIG_SESSION_NOT_FOUND, CONFIG_SUBSCRIBER_TAKEN
   */
  async record(name: SetName, subscriber: string, said: Acknowledge & { by: string }): Promise<void> {
    const { releaseKey, outcome, error, session, by } = said;
    this.#requireSubscriber(name, subscriber, by);
    const labels = said.labels ?? this.#labelsOf(name, subscriber);
    const who = { instance: subscriber, labels };
    const nowMs = this.#host.clock.now();
    const current = this.#config.live.resolved(name, who).config.releaseKey === releaseKey;
    // Two members' wall clocks may differ by more than a quick subscriber takes.
    const lateMs = Math.max(0, nowMs - this.#config.live.toldAtMs(name, who));
    const value = encodeJson({
      subscriber,
      labels,
      releaseKey,
      outcome,
      ...(error === undefined ? {} : { error }),
      at: new Date(nowMs).toISOString(),
      ...(current ? { lateMs } : {}),
      session: session !== undefined,
      by,
    } satisfies Said);
    const key = acknowledgementKey(name, subscriber);
    if (session === undefined) return this.#lease.use((lease) => this.#enqueue({ key, value, lease }));
    try {
      await this.#enqueue({ key, value, lease: session });
    } catch (cause) {
      if (!StoreErrors.LEASE_NOT_FOUND.is(cause)) throw cause;
      throw ConfigErrors.SESSION_NOT_FOUND(
        `The session "${session}" has lapsed or was closed. Acknowledge without one, or with the one you have now.`,
        { cause },
      );
    }
  }

  /** Who has which release of a set, how many have what they are told now, and who has said nothing. */
  list(name: SetName): AcknowledgementList {
    const present = this.#subscribers.of(name);
    const known = this.of(name);
    const subscribers = [...known.values()].map((one) => this.#viewOf(name, one, present)).sort(bySubscriber);
    const current = subscribers.filter((one) => one.current);
    const applied = current.filter(({ outcome }) => outcome === "applied").length;
    return {
      releaseKey: this.#config.effective(name).releaseKey,
      applied,
      failed: current.length - applied,
      behind: subscribers.length - current.length,
      subscribers,
      silent: [...present]
        .filter(([subscriber]) => !known.has(subscriber))
        .map(([subscriber, one]) => ({ subscriber, ...one }))
        .sort(bySubscriber),
    };
  }

  /** What is known of a set's subscribers. */
  of(name: SetName): ReadonlyMap<string, Said> {
    return this.#known.get(setId(name)) ?? new Map<string, Said>();
  }

  /** Ids of sets that somebody has acknowledged. */
  sets(): Iterable<string> {
    return this.#known.keys();
  }

  /** Called after every change. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #viewOf(
    name: SetName,
    { session: _session, by: _by, ...said }: Said,
    present: ReadonlyMap<string, Present>,
  ): AcknowledgementView {
    const { live } = this.#config;
    const told = live.resolved(name, { instance: said.subscriber, labels: said.labels }).config.releaseKey;
    const madeOf = live.madeOf(said.releaseKey);
    return {
      ...said,
      current: said.releaseKey === told,
      present: present.has(said.subscriber),
      ...(madeOf ? { versions: Object.fromEntries(madeOf) } : {}),
    };
  }

  /** One that is there, or whose session is, speaks for itself. */
  #requireSubscriber(name: SetName, subscriber: string, by: string): void {
    const before = this.of(name).get(subscriber);
    const isOther = before?.session === true && before.by !== undefined && before.by !== by;
    if (!isOther && !this.#subscribers.isTaken(name, subscriber, by)) return;
    throw ConfigErrors.SUBSCRIBER_TAKEN(
      `"${subscriber}" of ${setId(name)} is another principal, which acknowledges by itself. Choose another name for yours.`,
    );
  }

  #labelsOf(name: SetName, subscriber: string): Labels {
    return this.#subscribers.one(name, subscriber)?.labels ?? this.of(name).get(subscriber)?.labels ?? {};
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  #put(key: string, value: Uint8Array): void {
    const { set, subscriber } = placeOf(key);
    let subscribers = this.#known.get(set);
    if (!subscribers) this.#known.set(set, (subscribers = new Map()));
    // Earlier versions kept neither labels nor whether there is a session.
    const said: Partial<Said> & Omit<Said, "labels" | "session"> = decodeJson(value);
    subscribers.set(subscriber, { labels: {}, session: false, ...said });
  }

  #enqueue(one: Omit<Waiting, "done">): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ ...one, done: (error) => (error === undefined ? resolve() : reject(error)) });
    if (!this.#gathering) {
      this.#gathering = true;
      this.#host.clock.after(GATHER_MS, () => {
        this.#gathering = false;
        this.#flush();
      });
    }
    return promise;
  }

  #flush(): void {
    // The last word of a subscriber stands for all that it said in this moment.
    const latest = new Map(this.#waiting.map((one) => [one.key, one]));
    const superseded = this.#waiting.filter((one) => latest.get(one.key) !== one);
    this.#waiting = [];
    const all = [...latest.values()];
    for (let at = 0; at < all.length; at += TXN_OPS_MAX) {
      const batch = all.slice(at, at + TXN_OPS_MAX);
      const stale = superseded.filter(({ key }) => batch.some((one) => one.key === key));
      void this.#write(batch, stale);
    }
  }

  /** One lease that is gone fails the whole transaction, so its acknowledgements are then written one by one. */
  async #write(batch: readonly Waiting[], superseded: readonly Waiting[] = []): Promise<void> {
    try {
      await this.#store.txn({ then: batch.map(({ key, value, lease }) => ({ type: "put", key, value, lease })) });
      for (const { done } of [...batch, ...superseded]) done();
    } catch (error) {
      if (batch.length === 1 || !StoreErrors.LEASE_NOT_FOUND.is(error)) {
        for (const { done } of [...batch, ...superseded]) done(error);
        return;
      }
      const of = (one: Waiting) => superseded.filter(({ key }) => key === one.key);
      await Promise.all(batch.map((one) => this.#write([one], of(one))));
    }
  }
}

function bySubscriber(a: { subscriber: string }, b: { subscriber: string }): number {
  return a.subscriber < b.subscriber ? -1 : 1;
}

function placeOf(key: string): { set: string; subscriber: string } {
  const [namespace, app, profile, subscriber = ""] = key.slice(ACKNOWLEDGEMENTS_PREFIX.length).split("/");
  return { set: `${namespace}/${app}/${profile}`, subscriber };
}
