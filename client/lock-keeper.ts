/** Locks of the client's namespace: held for as long as they are needed. Leader election is the same call. */
import type { Lock } from "#locks/api";
import type { CallOptions } from "./calls/caller.ts";
import type { Client } from "./client.ts";
import type { HeldLock, LockOptions } from "./lock.ts";

export class LockKeeper {
  readonly #client: Client;
  readonly #namespace: string;
  readonly #closing: AbortSignal;

  /** `closing`: ends waits for locks. */
  constructor(client: Client, { namespace, closing }: { namespace: string; closing: AbortSignal }) {
    this.#client = client;
    this.#namespace = namespace;
    this.#closing = closing;
  }

  /** Resolves when the lock is held. Its `signal` aborts when it is lost. */
  hold(name: string, options: LockOptions = {}): Promise<HeldLock> {
    const signal = options.signal ? AbortSignal.any([options.signal, this.#closing]) : this.#closing;
    return this.#client.lock({ namespace: this.#namespace, name }, { ...options, signal });
  }

  /** The lock's holder and the length of its queue. */
  get(name: string, options: CallOptions = {}): Promise<Lock> {
    return this.#client.locks.get({ namespace: this.#namespace, name }, options);
  }
}
