/**
 * The last acknowledgement of each subscriber: the release that it runs, or why it could not apply one, and the delay.
 * Thousands arrive at once, so acknowledgements of the same few milliseconds share a transaction; each is answered once it
 * is durable. An acknowledgement is removed with the session of its sender, or after an hour.
 */
import { decodeJson, encodeJson, type Host } from "#base";
import { SharedLease, type Store, StoreErrors, TXN_OPS_MAX } from "#store";
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
import { SubscriberView } from "./subscriber-view.ts";
import type { Present, Subscribers } from "./subscribers.ts";

/** Seconds that an acknowledgement without a session is kept. A present subscriber repeats it sooner. */
const KEEP_SECONDS = 3_600;
/** Milliseconds over which acknowledgements are gathered into one transaction. */
const GATHER_MS = 5;

interface Waiting {
  readonly key: string;
  readonly value: Uint8Array;
  readonly lease: string;
  readonly done: (error?: unknown) => void;
}

/** An acknowledgement as it is stored. */
export interface StoredAcknowledgement extends Acknowledgement {
  /** Whether it is removed with a session. While it exists, the session does, and so the subscriber is present. */
  readonly session: boolean;
  /** Id of the principal that sent it; absent in records of earlier versions. */
  readonly by?: string;
}

export class Acknowledgements {
  readonly #host: Host;
  readonly #store: Store;
  readonly #config: ConfigServer;
  readonly #subscribers: Subscribers;
  readonly #view: SubscriberView<StoredAcknowledgement>;
  readonly #lease: SharedLease;
  #waiting: Waiting[] = [];
  #gathering = false;

  constructor(host: Host, store: Store, { config, subscribers }: { config: ConfigServer; subscribers: Subscribers }) {
    this.#host = host;
    this.#store = store;
    this.#config = config;
    this.#subscribers = subscribers;
    this.#lease = new SharedLease(host, store, KEEP_SECONDS);
    this.#view = new SubscriberView<StoredAcknowledgement>(host, store, {
      name: "acknowledgements",
      prefix: ACKNOWLEDGEMENTS_PREFIX,
      // Earlier versions kept neither labels nor whether there is a session.
      put: (_before, value) => ({
        labels: {},
        session: false,
        ...decodeJson<Omit<StoredAcknowledgement, "labels" | "session">>(value),
      }),
      remove: () => undefined,
    });
  }

  /** Follows the store. Give it to a TaskGroup. */
  run(signal: AbortSignal): Promise<void> {
    return this.#view.run(signal);
  }

  /** Whether the store is followed. While it is not, the acknowledgements may be old. */
  get connected(): boolean {
    return this.#view.connected;
  }

  /**
   * Resolves once it is durable. `by`: the id of the caller's principal, which must be that of the subscriber.
   * @throws CONFIG_SESSION_NOT_FOUND, CONFIG_SUBSCRIBER_TAKEN
   */
  async record(name: SetName, subscriber: string, given: Acknowledge & { by: string }): Promise<void> {
    const { releaseKey, outcome, error, session, by } = given;
    this.#requireSubscriber(name, subscriber, by);
    const labels = given.labels ?? this.#labelsOf(name, subscriber);
    const who = { instance: subscriber, labels };
    const nowMs = this.#host.clock.now();
    const current = this.#config.live.resolved(name, who).config.releaseKey === releaseKey;
    // The wall clocks of two members may differ by more than a fast subscriber needs.
    const lateMs = Math.max(0, nowMs - this.#config.live.dueAtMs(name, who));
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
    } satisfies StoredAcknowledgement);
    const key = acknowledgementKey(name, subscriber);
    if (session === undefined) return this.#lease.use((lease) => this.#enqueue({ key, value, lease }));
    try {
      await this.#enqueue({ key, value, lease: session });
    } catch (cause) {
      if (!StoreErrors.LEASE_NOT_FOUND.is(cause)) throw cause;
      throw ConfigErrors.SESSION_NOT_FOUND(
        `The session "${session}" has lapsed or was closed. Acknowledge with an open session, or without one.`,
        { cause },
      );
    }
  }

  /** The releases that subscribers of a set run, how many run their current one, and the subscribers without acknowledgement. */
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

  /** The last acknowledgement of each subscriber of a set. */
  of(name: SetName): ReadonlyMap<string, StoredAcknowledgement> {
    return this.#view.of(name);
  }

  /** Ids of sets with acknowledgements. */
  sets(): Iterable<string> {
    return this.#view.sets();
  }

  /** Calls the listener after every change. */
  onChange(listener: () => void): () => void {
    return this.#view.onChange(listener);
  }

  #viewOf(
    name: SetName,
    { session: _session, by: _by, ...said }: StoredAcknowledgement,
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

  /** A subscriber that is present, or has a session, is acknowledged by its own principal only. */
  #requireSubscriber(name: SetName, subscriber: string, by: string): void {
    const before = this.of(name).get(subscriber);
    const isOther = before?.session === true && before.by !== undefined && before.by !== by;
    if (!isOther && !this.#subscribers.isTaken(name, subscriber, by)) return;
    throw ConfigErrors.SUBSCRIBER_TAKEN(
      `The subscriber "${subscriber}" of ${setId(name)} belongs to another principal. Choose a different name for yours.`,
    );
  }

  #labelsOf(name: SetName, subscriber: string): Labels {
    return this.#subscribers.one(name, subscriber)?.labels ?? this.of(name).get(subscriber)?.labels ?? {};
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
    // The last acknowledgement of a subscriber replaces its earlier ones of the same moment.
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

  /** One missing lease fails the whole transaction; its acknowledgements are then written one by one. */
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
