/**
 * The shell of quotas: a call is one transaction over the limits it asks about. Nothing is kept here but the leases of
 * the store under which records lie, so any member answers, and what is granted is granted once.
 */
import { createHash } from "node:crypto";
import type { Host } from "#base";
import { commit, type LeaseId, type Put, type Store } from "#store";
import { QuotasErrors, type QuotaAnswer, type QuotaRequest } from "./api.ts";
import { readRecord, settle } from "./core/ledger.ts";

export const QUOTAS_PREFIX = "/quotas/";
/** Seconds that a record outlives its last change: longer than the longest rate, and than a month. */
const KEPT_SECONDS = { rate: 2 * 86_400, period: 35 * 86_400 } as const;
/** Milliseconds after which a fresh store lease is taken for what is written from then on. */
const LEASE_RENEWAL_MS = 3_600_000;
/** Tries of a transaction: gateways ask about the same limits at the same time by their nature. */
const TRIES = 8;

export class Quotas {
  readonly #host: Host;
  readonly #store: Store;
  readonly #leases = new Map<keyof typeof KEPT_SECONDS, { readonly id: LeaseId; readonly sinceMs: number }>();

  constructor(host: Host, store: Store) {
    this.#host = host;
    this.#store = store;
  }

  /** @throws QUOTAS_DUPLICATE, STORE_CONTENDED, and what `Store.txn` throws */
  async lease(namespace: string, { asks }: QuotaRequest): Promise<QuotaAnswer> {
    const keyed = asks.map((ask) => ({ ask, key: keyOf(namespace, ask.key) }));
    if (new Set(keyed.map(({ key }) => key)).size < keyed.length)
      throw QuotasErrors.DUPLICATE("Each limit may be asked about once in a call.");
    const rate = await this.#lease("rate");
    const period = await this.#lease("period");
    const nowMs = this.#host.clock.now();
    const { result } = await commit(
      this.#store,
      keyed.map(({ key }) => ({ key })),
      (known) => {
        const settled = keyed.map(({ ask, key }) => {
          const entry = known.get(key);
          return { key, ...settle(entry && readRecord(Buffer.from(entry.value).toString("utf8")), ask, nowMs) };
        });
        const writes = settled.map(({ key, record }): Put => ({
          type: "put",
          key,
          value: Buffer.from(JSON.stringify(record)),
          lease: record.kind === "rate" ? rate : period,
        }));
        return { writes, result: { leases: settled.map(({ lease }) => lease) } };
      },
      { tries: TRIES },
    );
    return result;
  }

  async #lease(kind: keyof typeof KEPT_SECONDS): Promise<LeaseId> {
    const nowMs = this.#host.clock.monotonic();
    const known = this.#leases.get(kind);
    if (known && nowMs - known.sinceMs < LEASE_RENEWAL_MS) return known.id;
    const { id } = await this.#store.grant(KEPT_SECONDS[kind]);
    this.#leases.set(kind, { id, sinceMs: nowMs });
    return id;
  }
}

/** By hash: a limit's key holds what callers say of themselves, and may be longer than a store's key. */
function keyOf(namespace: string, key: string): string {
  return `${QUOTAS_PREFIX}${namespace}/${createHash("sha256").update(key).digest("hex")}`;
}
