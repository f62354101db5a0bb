/**
 * One member's way to the store that all members share: calls are late, refused, or done with the answer lost; watches
 * lag, stall and break; for a time nothing passes at all. The store's writes are recorded as they happen.
 */
import type { Lease, LeaseId, RangeRequest, Store, TxnRequest, TxnResult, WatchBatch, WatchRequest } from "#store";
import { StoreErrors } from "#store";
import type { History } from "./history.ts";
import { never, type Life, type SimTime } from "./host.ts";
import type { Link } from "./weather.ts";

/** After this time a call without an answer is given up. Milliseconds. */
const TIMEOUT_MS = 2_000;

export interface FaultyStoreOptions {
  readonly time: SimTime;
  readonly life: Life;
  readonly link: Link;
  readonly history: History;
}

export class FaultyStore implements Store {
  readonly #engine: Store;
  readonly #options: FaultyStoreOptions;

  constructor(engine: Store, options: FaultyStoreOptions) {
    this.#engine = engine;
    this.#options = options;
  }

  range(request: RangeRequest) {
    return this.#call(() => this.#engine.range(request));
  }

  txn(request: TxnRequest): Promise<TxnResult> {
    return this.#call(async () => {
      const result = await this.#engine.txn(request);
      const wrote = result.results.some((one) => one.type === "put" || (one.type === "delete" && one.deleted > 0));
      if (wrote) this.#options.history.written.add(result.revision);
      return result;
    });
  }

  grant(ttlSeconds: number): Promise<Lease> {
    return this.#call(async () => {
      const lease = await this.#engine.grant(ttlSeconds);
      this.#options.history.granted(lease.id, ttlSeconds);
      return lease;
    });
  }

  keepAlive(lease: LeaseId): Promise<void> {
    return this.#call(async () => {
      await this.#engine.keepAlive(lease);
      this.#options.history.renewed(lease);
    });
  }

  revoke(lease: LeaseId): Promise<void> {
    this.#options.history.revoking(lease);
    return this.#call(() => this.#engine.revoke(lease));
  }

  compact(through: number): Promise<void> {
    return this.#call(() => this.#engine.compact(through));
  }

  status() {
    return this.#call(() => this.#engine.status());
  }

  async *watch(request: WatchRequest): AsyncGenerator<WatchBatch> {
    const { life, link, time } = this.#options;
    const cut = new AbortController();
    const signal = AbortSignal.any([request.signal, cut.signal]);
    try {
      await link.travel(life, signal);
      if (link.partitioned) await this.#lost();
      for await (const batch of this.#engine.watch({ ...request, signal })) {
        if (link.happens("late")) await time.sleep(life, link.random.float() * 1_500, signal);
        if (link.partitioned) {
          // Either the link is found dead, or it stalls and later goes on where it was.
          if (link.random.float() < 0.5) await this.#lost();
          await link.open();
        }
        if (link.happens("cut")) await this.#lost();
        if (!life.alive) await never();
        if (request.signal.aborted) return;
        yield batch;
      }
    } catch (error) {
      if (request.signal.aborted) return;
      throw error;
    } finally {
      cut.abort();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #call<T>(run: () => Promise<T>): Promise<T> {
    const { life, link } = this.#options;
    await link.travel(life);
    if (link.partitioned || link.happens("lose")) return this.#lost();
    const result = await run();
    if (link.happens("loseAnswer")) return this.#lost();
    await link.travel(life);
    if (link.partitioned) return this.#lost();
    return life.alive ? result : never();
  }

  async #lost(): Promise<never> {
    const { time, life, link } = this.#options;
    await time.sleep(life, link.random.float() * TIMEOUT_MS);
    throw StoreErrors.UNAVAILABLE("The store did not answer in time.");
  }
}
