/** Keeps the leases of shared limits: asks for what requests are about to need, in one call at a time. */
import { messageOf, TaskGroup, Trigger, type Host } from "#base";
import { QUOTA_ASKS_MAX } from "#quotas/api";
import { LeasedLimits } from "../core/leased-limits.ts";
import type { GatewayClient } from "../settings.ts";

/** Milliseconds between two calls: many limits that run out together are one call. */
const CALL_EVERY_MS = 20;

export class QuotaLeases implements AsyncDisposable {
  readonly #host: Host;
  readonly #client: GatewayClient["quotas"];
  readonly #namespace: string;
  readonly #trigger = new Trigger();
  readonly #tasks: TaskGroup;
  readonly limits: LeasedLimits;
  #away = false;

  constructor(host: Host, client: GatewayClient["quotas"], namespace: string) {
    this.#host = host;
    this.#client = client;
    this.#namespace = namespace;
    this.limits = new LeasedLimits(() => this.#trigger.fire());
    this.#tasks = new TaskGroup(host.log);
    this.#tasks.run("quota leases", (signal) => this.#run(signal));
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#host;
    while (!signal.aborted) {
      await this.#trigger.wait(signal);
      for (;;) {
        const asks = this.limits.asks(QUOTA_ASKS_MAX, clock.monotonic());
        if (asks.length === 0 || signal.aborted) break;
        await this.#ask(asks, signal);
        await clock.sleep(CALL_EVERY_MS, signal).catch(() => {});
      }
    }
  }

  async #ask(asks: ReturnType<LeasedLimits["asks"]>, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#host;
    try {
      if (!this.#client) throw new Error("this gateway has no control plane");
      const { leases } = await this.#client.lease(this.#namespace, { asks }, { signal });
      this.limits.granted(asks, leases, clock.monotonic());
      if (this.#away) log.info({}, "shared limits are shared again");
      this.#away = false;
    } catch (error) {
      if (signal.aborted) return;
      this.limits.failed(asks, clock.monotonic());
      if (!this.#away) log.warn({ err: error }, `shared limits go on with the last share: ${messageOf(error)}`);
      this.#away = true;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }
}
