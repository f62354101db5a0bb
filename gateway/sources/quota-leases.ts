/**
 * Keeps the leases of shared limits: requests what is needed next, in one call at a time, and wakes the requests that
 * wait for an answer.
 */
import { messageOf, TaskGroup, Trigger, Waiters, type Host } from "#base";
import { QUOTA_ASKS_MAX } from "#quotas/api";
import type { LeaseAsk } from "../core/limits/lease-arithmetic.ts";
import { LeasedLimits, type LeaseWait } from "../core/limits/leased-limits.ts";
import type { GatewayClient } from "../settings.ts";

/** Milliseconds between two calls while no request waits, so that many limits that run out together need one call. */
const CALL_EVERY_MS = 20;

export class QuotaLeases implements AsyncDisposable {
  readonly #host: Host;
  readonly #client: GatewayClient["quotas"];
  readonly #namespace: string;
  readonly #trigger = new Trigger();
  readonly #tasks: TaskGroup;
  readonly limits: LeasedLimits;
  /** By the key of a limit: the waits, each with its end. */
  readonly #waiting = new Map<string, Map<() => void, number>>();
  /** A request waits for the next call. */
  #urgent = false;
  readonly #pauses = new Waiters();
  #away = false;

  constructor(host: Host, client: GatewayClient["quotas"], namespace: string) {
    this.#host = host;
    this.#client = client;
    this.#namespace = namespace;
    this.limits = new LeasedLimits((urgent) => this.#wanted(urgent));
    this.#tasks = new TaskGroup(host.log);
    this.#tasks.run("quota leases", (signal) => this.#run(signal));
  }

  /** Resolves when its time is over, or sooner when the limit has an answer. */
  wait({ key, forMs, untilMs }: LeaseWait): Promise<void> {
    return new Promise((resolve) => {
      const others = this.#waiting.get(key) ?? new Map<() => void, number>();
      const done = () => {
        cancel();
        others.delete(done);
        if (others.size === 0 && this.#waiting.get(key) === others) this.#waiting.delete(key);
        resolve();
      };
      const cancel = this.#host.clock.after(forMs, done);
      this.#waiting.set(key, others.set(done, untilMs));
    });
  }

  #wanted(urgent: boolean): void {
    this.#trigger.fire();
    if (!urgent) return;
    this.#urgent = true;
    this.#pauses.wakeAll();
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#trigger.wait(signal);
      for (;;) {
        this.#urgent = false;
        const asks = this.limits.asks(QUOTA_ASKS_MAX, this.#host.clock.monotonic());
        if (asks.length === 0 || signal.aborted) break;
        await this.#ask(asks, signal);
        for (const { key } of asks) this.#wake(key);
        // Otherwise there is more than one call can carry.
        if (asks.length < QUOTA_ASKS_MAX) await this.#pause(signal);
      }
    }
  }

  /** Wakes the waits of a limit, the earliest end first. */
  #wake(key: string): void {
    const waiting = [...(this.#waiting.get(key) ?? [])];
    for (const [wake] of waiting.sort(([, a], [, b]) => a - b)) wake();
  }

  async #pause(signal: AbortSignal): Promise<void> {
    if (!this.#urgent) await this.#pauses.wait({ limit: { clock: this.#host.clock, ms: CALL_EVERY_MS }, signal });
  }

  async #ask(asks: readonly LeaseAsk[], signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#host;
    try {
      if (!this.#client) throw new Error("this gateway has no control plane");
      const { leases } = await this.#client.lease(this.#namespace, { asks: [...asks] }, { signal });
      this.limits.granted(asks, leases, clock.monotonic());
      if (this.#away) log.info({}, "shared limits are coordinated with the control plane again");
      this.#away = false;
    } catch (error) {
      if (signal.aborted) return;
      this.limits.failed(asks, clock.monotonic());
      if (!this.#away)
        log.warn(
          { err: error },
          `the control plane does not lease shared limits; the last share stays in use: ${messageOf(error)}`,
        );
      this.#away = true;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}
