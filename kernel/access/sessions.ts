/**
 * Sessions and their owners. A session is a lease of the store with a record that names the principal that opened it. Others can see
 * its id, but only that principal can renew, use or end it. A session without a record was opened by an earlier version: it counts as
 * lapsed, and its owner opens another one.
 */
import { decodeJson, encodeJson, type AppError, type Host } from "#base";
import { isAllowed, type Principal, type SessionOwners } from "#http";
import { StoreErrors, type Lease, type Store, View } from "#store";

const SESSIONS = "/sessions/";

export class Sessions implements SessionOwners {
  readonly #store: Store;
  readonly #view: View;
  readonly #owners = new Map<string, string>();
  readonly #notFound: (session: string, path: string) => AppError;

  /** `notFound`: the error of a route for a session that does not exist. */
  constructor(host: Host, store: Store, notFound: (session: string, path: string) => AppError) {
    this.#store = store;
    this.#notFound = notFound;
    this.#view = new View(host, store, {
      name: "sessions",
      prefix: SESSIONS,
      reset: (entries) => {
        this.#owners.clear();
        for (const { key, value } of entries) this.#owners.set(key.slice(SESSIONS.length), decodeJson(value));
      },
      apply: ({ events }) => {
        for (const event of events) {
          if (event.type === "put") {
            this.#owners.set(event.entry.key.slice(SESSIONS.length), decodeJson(event.entry.value));
          } else this.#owners.delete(event.key.slice(SESSIONS.length));
        }
      },
    });
  }

  /** Follows the store. Give it to a TaskGroup. */
  run(signal: AbortSignal): Promise<void> {
    return this.#view.run(signal);
  }

  /** Open sessions. */
  get size(): number {
    return this.#owners.size;
  }

  /** Opens a session for a principal. */
  async open({ id: owner }: Principal, ttlSeconds: number): Promise<Lease> {
    const lease = await this.#store.grant(ttlSeconds);
    await this.#store.txn({
      then: [{ type: "put", key: `${SESSIONS}${lease.id}`, value: encodeJson(owner), lease: lease.id }],
    });
    return lease;
  }

  /** @throws the error of `notFound`, also for a session of another principal */
  async require(principal: Principal, session: string, path: string): Promise<void> {
    const owner = this.#owners.get(session) ?? (await this.#read(session));
    // An operator may act for others, for example to end a session by hand.
    const isOwn = owner === principal.id || isAllowed(principal, "registry:override", {});
    if (owner === undefined || !isOwn) throw this.#notFound(session, path);
  }

  /** A session that the view does not have yet, because another member opened it a moment ago. */
  async #read(session: string): Promise<string | undefined> {
    try {
      const { entries } = await this.#store.range({ key: `${SESSIONS}${session}` });
      return entries[0] && decodeJson<string>(entries[0].value);
    } catch (error) {
      // The text cannot be the id of a session.
      if (StoreErrors.INVALID.is(error)) return undefined;
      throw error;
    }
  }
}
