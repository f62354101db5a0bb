/**
 * The members of the control plane that are alive. Each member keeps one key under a lease of its own and follows the keys
 * of all. Work that exactly one member must do is divided among the members of this list.
 */
import { fullJitter, messageOf, randomId, type Host } from "#base";
import { type Store, StoreErrors, View } from "#store";

export const MEMBERS_PREFIX = "/cluster/members/";
/** Seconds of silence after which a member counts as gone: a few missed renewals. */
const MEMBER_TTL_SECONDS = 10;
/** Renewals per time to live. */
const RENEWALS = 3;
const ID_BYTES = 8;
const RETRY = { baseMs: 200, capMs: 2_000 };

export class Members {
  /** Identifies one start of one process; never reused. */
  readonly id: string;
  readonly #host: Host;
  readonly #store: Store;
  readonly #view: View;
  readonly #known = new Set<string>();
  readonly #listeners = new Set<() => void>();
  #lease: string | undefined;
  #renewedMs = -Infinity;

  constructor(host: Host, store: Store) {
    this.#host = host;
    this.#store = store;
    this.id = randomId(host.random, ID_BYTES);
    this.#view = new View(host, store, {
      name: "members",
      prefix: MEMBERS_PREFIX,
      reset: (entries) => {
        this.#known.clear();
        for (const { key } of entries) this.#known.add(key.slice(MEMBERS_PREFIX.length));
        this.#tell();
      },
      apply: ({ events }) => {
        for (const event of events) {
          if (event.type === "put") this.#known.add(event.entry.key.slice(MEMBERS_PREFIX.length));
          else this.#known.delete(event.key.slice(MEMBERS_PREFIX.length));
        }
        if (events.length > 0) this.#tell();
      },
    });
  }

  /** Ids of the members that are alive, in order. */
  list(): string[] {
    return [...this.#known].sort();
  }

  /** The lease of this member's key. Other keys under it are removed when the member is gone. */
  get lease(): string | undefined {
    return this.current ? this.#lease : undefined;
  }

  /**
   * Whether this member may count itself as alive: it renewed its key within the time to live, by its own clock. A member
   * that was cut off finds out here no later than the others do.
   */
  get current(): boolean {
    return this.#host.clock.monotonic() - this.#renewedMs < MEMBER_TTL_SECONDS * 1000;
  }

  /** Called after every change of the list, and when this member counts itself as alive again. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Follows the list, and keeps this member in it, until the signal aborts. Give it to a TaskGroup. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#view.run(signal), this.#stayListed(signal)]);
  }

  async #stayListed(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      try {
        await this.#renew();
        failures = 0;
        await this.#host.clock.sleep((MEMBER_TTL_SECONDS * 1000) / RENEWALS, signal).catch(() => {});
      } catch (error) {
        if (StoreErrors.LEASE_NOT_FOUND.is(error)) this.#lease = undefined;
        else if (failures++ === 0)
          this.#host.log.warn({ err: error }, `membership not renewed yet, retrying: ${messageOf(error)}`);
        await this.#host.clock.sleep(fullJitter(this.#host.random, failures, RETRY), signal).catch(() => {});
      }
    }
    if (this.#lease !== undefined) await this.#store.revoke(this.#lease).catch(() => {});
  }

  async #renew(): Promise<void> {
    const beganMs = this.#host.clock.monotonic();
    if (this.#lease === undefined) {
      const lease = await this.#store.grant(MEMBER_TTL_SECONDS);
      await this.#store.txn({
        then: [{ type: "put", key: `${MEMBERS_PREFIX}${this.id}`, value: new Uint8Array(), lease: lease.id }],
      });
      this.#lease = lease.id;
    } else {
      await this.#store.keepAlive(this.#lease);
    }
    // Counted from before the call, since the store counts from a moment after it.
    const back = !this.current;
    this.#renewedMs = beganMs;
    if (back) this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
