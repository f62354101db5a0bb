/**
 * The shell of quotas: a call is one transaction over the limits it asks about. Nothing is kept here but the leases of
 * the store under which records lie, so any member answers, and what is granted is granted once.
 */
import { createHash } from "node:crypto";
import type { Host } from "#base";
import { commit, type LeaseId, type Put, type Store } from "#store";
import { QuotasErrors, type QuotaAnswer, type QuotaAsk, type QuotaRequest } from "./api.ts";
import { readRecord, settle } from "./core/ledger.ts";

const QUOTAS_PREFIX = "/quotas/";
/**
 * Seconds of the store leases that records lie under. A record outlives its last change by half of that at least, which
 * is longer than a rate of up to SHORT_SECONDS, any rate, and a month take to be whole again.
 */
const KEPT_SECONDS = { short: 1_800, rate: 4 * 86_400, period: 70 * 86_400 } as const;
/** Most rates are whole again within so many seconds; callers that never return leave nothing behind for long. */
const SHORT_SECONDS = 300;
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
  async lease(namespace: string, request: QuotaRequest): Promise<QuotaAnswer> {
    try {
      return await this.#settle(namespace, request);
    } catch (error) {
      if ((error as { code?: string }).code !== "STORE_LEASE_NOT_FOUND") throw error;
      // The store lost what it granted us: nothing was written, and new ones are there for the asking.
      this.#leases.clear();
      return this.#settle(namespace, request);
    }
  }

  async #settle(namespace: string, { asks }: QuotaRequest): Promise<QuotaAnswer> {
    const keyed = asks.map((ask) => ({ ask, key: keyOf(namespace, ask.key) }));
    if (new Set(keyed.map(({ key }) => key)).size < keyed.length)
      throw QuotasErrors.DUPLICATE("Each limit may be asked about once in a call.");
    const kinds = new Set(asks.map(kindOf));
    const leases = new Map(await Promise.all([...kinds].map(async (kind) => [kind, await this.#lease(kind)] as const)));
    const nowMs = this.#host.clock.now();
    const { result } = await commit(
      this.#store,
      keyed.map(({ key }) => ({ key })),
      (known) => {
        const settled = keyed.map(({ ask, key }) => {
          const entry = known.get(key);
          const before = entry && readRecord(Buffer.from(entry.value).toString("utf8"));
          return { key, storeLease: leases.get(kindOf(ask)) as LeaseId, ...settle(before, ask, nowMs) };
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

function kindOf({ per, requests, burst = requests }: QuotaAsk): keyof typeof KEPT_SECONDS {
  if (typeof per !== "number") return "period";
  return (per * burst) / requests <= SHORT_SECONDS ? "short" : "rate";
}

/** By hash: a limit's key holds what callers say of themselves, and may be longer than a store's key. */
function keyOf(namespace: string, key: string): string {
  return `${QUOTAS_PREFIX}${namespace}/${createHash("sha256").update(key).digest("hex")}`;
}
