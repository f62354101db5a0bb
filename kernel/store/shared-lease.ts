/**
 * One lease for many keys with about the same lifetime. It is granted when first needed and replaced regularly, so that a thousand
 * tombstones an hour cost one grant and not a thousand.
 */
import type { Host } from "#base";
import { StoreErrors, type Store } from "./types.ts";

/** Share of the time to live after which new keys get a new lease; the lease is granted for that much longer. */
const RENEW_SHARE = 1 / 4;

export class SharedLease {
  readonly #host: Host;
  readonly #store: Store;
  readonly #seconds: number;
  #current: { readonly id: Promise<string>; readonly grantedMs: number } | undefined;

  /** Keys live for `seconds` at least, and a quarter more at most. */
  constructor(host: Host, store: Store, seconds: number) {
    this.#host = host;
    this.#store = store;
    this.#seconds = seconds;
  }

  /** Runs with the lease, and once more with a new lease when the first one has lapsed. */
  async use<T>(run: (lease: string) => Promise<T>): Promise<T> {
    try {
      return await run(await this.#lease());
    } catch (error) {
      if (!StoreErrors.LEASE_NOT_FOUND.is(error)) throw error;
      this.#current = undefined;
      return run(await this.#lease());
    }
  }

  async #lease(): Promise<string> {
    const nowMs = this.#host.clock.monotonic();
    const renewMs = this.#seconds * RENEW_SHARE * 1000;
    if (!this.#current || nowMs - this.#current.grantedMs >= renewMs) {
      const granted = this.#store.grant(Math.ceil(this.#seconds * (1 + RENEW_SHARE)));
      const current = { id: granted.then(({ id }) => id), grantedMs: nowMs };
      this.#current = current;
      // After a failed grant, the next call tries again.
      current.id.catch(() => {
        if (this.#current === current) this.#current = undefined;
      });
    }
    return this.#current.id;
  }
}
