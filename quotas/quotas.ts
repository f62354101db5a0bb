/**
 * The shell of quotas. A call is one transaction over its limits. A member keeps nothing but the store leases of the
 * records, so any member can answer, and each request is granted only once.
 */
import { createHash } from "node:crypto";
import type { Host } from "#base";
import { commit, StoreErrors, type LeaseId, type Put, type Store } from "#store";
import { QuotasErrors, type QuotaAnswer, type QuotaAsk, type QuotaRequest } from "./api.ts";
import { readRecord, settle } from "./core/ledger.ts";

const QUOTAS_PREFIX = "/quotas/";
/**
 * Seconds of the store leases of records. A record outlives its last change by at least half of that, which is longer than
 * its limit takes to be fully available again: a rate of up to SHORT_SECONDS, any other rate, and a month.
 */
const KEPT_SECONDS = { short: 1_800, rate: 4 * 86_400, period: 70 * 86_400 } as const;
/** Most rates are fully available again within this time, so callers that never return leave no record for long. */
const SHORT_SECONDS = 300;
/** Tries of a transaction: gateways tend to request the same limits at the same time. */
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
  async lease(namespace: string, request: QuotaRequest): Promise<QuotaAnswer> {
    try {
      return await this.#settle(namespace, request);
    } catch (error) {
      if (!StoreErrors.LEASE_NOT_FOUND.is(error)) throw error;
      // The store has lost the leases: nothing was written, so grant new ones and retry.
      this.#leases.clear();
      return this.#settle(namespace, request);
    }
  }

  async #settle(namespace: string, { asks }: QuotaRequest): Promise<QuotaAnswer> {
    const keyed = asks.map((ask) => ({ ask, key: recordKeyOf(namespace, ask.key) }));
    if (new Set(keyed.map(({ key }) => key)).size < keyed.length)
      throw QuotasErrors.DUPLICATE("A limit appears twice in the request. Combine the two into one entry.");
    const kinds = new Set(asks.map(leaseKindOf));
    const leases = new Map(await Promise.all([...kinds].map(async (kind) => [kind, await this.#lease(kind)] as const)));
    const nowMs = this.#host.clock.now();
    const { result } = await commit(
      this.#store,
      keyed.map(({ key }) => ({ key })),
      (known) => {
        const settled = keyed.map(({ ask, key }) => {
          const entry = known.get(key);
          const before = entry && readRecord(Buffer.from(entry.value).toString("utf8"));
          return { key, storeLease: leases.get(leaseKindOf(ask)) as LeaseId, ...settle(before, ask, nowMs) };
        });
        const writes = settled.map(({ key, record, storeLease }): Put => ({
          type: "put",
          key,
          value: Buffer.from(JSON.stringify(record)),
          lease: storeLease,
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
    if (known && nowMs - known.sinceMs < (KEPT_SECONDS[kind] * 1000) / 2) return known.id;
    const { id } = await this.#store.grant(KEPT_SECONDS[kind]);
    this.#leases.set(kind, { id, sinceMs: nowMs });
    return id;
  }
}

function leaseKindOf({ per, requests, burst = requests }: QuotaAsk): keyof typeof KEPT_SECONDS {
  if (typeof per !== "number") return "period";
  return (per * burst) / requests <= SHORT_SECONDS ? "short" : "rate";
}

/** Hashed, since a limit's key contains data of callers and may be longer than a key of the store. */
function recordKeyOf(namespace: string, key: string): string {
  return `${QUOTAS_PREFIX}${namespace}/${createHash("sha256").update(key).digest("hex")}`;
}
