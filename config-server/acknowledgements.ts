/**
 * Who runs which release: what each subscriber says it has applied, or why it could not. Acknowledgements come in
 * thousands at once, so those of a moment share a transaction; each is answered once it is durable. They live by the
 * session of whoever sends them, or for an hour.
 */
import { decodeJson, encodeJson, type Host } from "#base";
import { SharedLease, type Store, StoreErrors, TXN_OPS_MAX, View } from "#store";
import { ConfigErrors, type Acknowledge, type Acknowledgement, type AcknowledgementList, type SetName } from "./api.ts";
import type { ConfigServer } from "./config-server.ts";
import { acknowledgementKey, ACKNOWLEDGEMENTS_PREFIX } from "./core/keys.ts";

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

export class Acknowledgements {
  readonly #host: Host;
  readonly #store: Store;
  readonly #config: ConfigServer;
  readonly #view: View;
  readonly #lease: SharedLease;
  /** By set, then by subscriber. */
  readonly #known = new Map<string, Map<string, Acknowledgement>>();
  #waiting: Waiting[] = [];
  #gathering = false;

  constructor(host: Host, store: Store, config: ConfigServer) {
    this.#host = host;
    this.#store = store;
    this.#config = config;
    this.#lease = new SharedLease(host, store, KEEP_SECONDS);
    this.#view = new View(host, store, {
      name: "acknowledgements",
      prefix: ACKNOWLEDGEMENTS_PREFIX,
      reset: (entries) => {
        this.#known.clear();
        for (const { key, value } of entries) this.#put(key, value);
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
      },
    });
  }

  /** Follows the store. Give it to a TaskGroup. */
  run(signal: AbortSignal): Promise<void> {
    return this.#view.run(signal);
  }

  /** Resolves once it is durable. @throws CONFIG_SESSION_NOT_FOUND */
  async record(name: SetName, subscriber: string, said: Acknowledge): Promise<void> {
    const { releaseKey, outcome, error, session } = said;
    const nowMs = this.#host.clock.now();
    const value = encodeJson({
      subscriber,
      releaseKey,
      outcome,
      ...(error === undefined ? {} : { error }),
      at: new Date(nowMs).toISOString(),
    } satisfies Acknowledgement);
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

  /** Who has which release of a set, and how many have the one that is live. */
  list(name: SetName): AcknowledgementList {
    const { releaseKey } = this.#config.effective(name);
    const { namespace, app, profile } = name;
    const known = this.#known.get(`${namespace}/${app}/${profile}`)?.values() ?? [];
    const subscribers = [...known].sort((a, b) => (a.subscriber < b.subscriber ? -1 : 1));
    const current = subscribers.filter((one) => one.releaseKey === releaseKey);
    const applied = current.filter(({ outcome }) => outcome === "applied").length;
    return {
      releaseKey,
      applied,
      failed: current.length - applied,
      behind: subscribers.length - current.length,
      subscribers,
    };
  }

  #put(key: string, value: Uint8Array): void {
    const { set, subscriber } = placeOf(key);
    let subscribers = this.#known.get(set);
    if (!subscribers) this.#known.set(set, (subscribers = new Map()));
    subscribers.set(subscriber, decodeJson<Acknowledgement>(value));
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

function placeOf(key: string): { set: string; subscriber: string } {
  const [namespace, app, profile, subscriber = ""] = key.slice(ACKNOWLEDGEMENTS_PREFIX.length).split("/");
  return { set: `${namespace}/${app}/${profile}`, subscriber };
}
