/** The typed client of the control API. Gateway, agent and command line reach the control plane only through it. */
import type { Host } from "#base";
import type { LockRef } from "#locks/api";
import { Caller, type ClientOptions } from "./calls/caller.ts";
import { configCalls, type ConfigCalls } from "./calls/config.ts";
import { lockCalls, type LockCalls } from "./calls/locks.ts";
import { gatewayCalls, quotaCalls, tokenCalls } from "./calls/others.ts";
import { registryCalls, type RegistryCalls } from "./calls/registry.ts";
import { holdLock, type HeldLock, type LockOptions } from "./lock.ts";

/** Errors keep the server's code (`REGISTRY_…`, `CONFIG_…`, `HTTP_…`); without an answer it is CLIENT_UNREACHABLE. */
export class Client {
  readonly #host: Host;
  readonly registry: RegistryCalls;
  readonly locks: LockCalls;
  readonly config: ConfigCalls;
  readonly access: ReturnType<typeof tokenCalls>;
  readonly quotas: ReturnType<typeof quotaCalls>;
  readonly gateway: ReturnType<typeof gatewayCalls>;

  constructor(host: Host, options: ClientOptions) {
    const caller = new Caller(host, options);
    this.#host = host;
    this.registry = registryCalls(caller);
    this.locks = lockCalls(caller);
    this.config = configCalls(caller);
    this.access = tokenCalls(caller);
    this.quotas = quotaCalls(caller);
    this.gateway = gatewayCalls(caller);
  }

  /**
   * Waits for a lock and keeps it, under its own session, until it is released or lost. The `signal` of the held lock aborts when
   * it is lost. Leader election is the same call.
   */
  lock(lock: LockRef, options: LockOptions = {}): Promise<HeldLock> {
    return holdLock(this.#host, this, lock, options);
  }
}
