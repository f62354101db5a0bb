/**
 * Data keys without a value: of releases that were rejected after their secrets were encrypted, and of drafts that were
 * changed or discarded. They are swept after a while; without them, the values that they encrypted can never be read again.
 */
import { decodeJson, type Host } from "#base";
import type { Store } from "#store";
import { itemsOf, type StoredDraft, type StoredProposal } from "../core/change.ts";
import {
  draftsPrefix,
  parseDataKeyKey,
  proposalsPrefix,
  SECRETS_PREFIX,
  setOf,
  usedDataKeysPrefix,
} from "../core/keys.ts";
import { dataKeysOf } from "../core/sealed.ts";
import { entriesUnder } from "../releases/listing.ts";
import { sweepRegularly } from "../releases/sweeping.ts";

const PAGED = { limit: 100 };

export class Orphans {
  readonly #host: Host;
  readonly #store: Store;

  constructor(host: Host, store: Store) {
    this.#host = host;
    this.#store = store;
  }

  /** Sweeps regularly. Give it to a TaskGroup. */
  run(signal: AbortSignal): Promise<void> {
    const none: ReadonlySet<string> = new Set();
    return sweepRegularly(this.#host, { what: "data keys", none, sweep: (seen) => this.sweep(seen) }, signal);
  }

  /**
   * Removes data keys that had no value at the last sweep and have none now: a release that encrypts has long been written
   * between two sweeps. Returns the keys without a value now, for the next sweep.
   */
  async sweep(seen: ReadonlySet<string>): Promise<ReadonlySet<string>> {
    // Keys are listed before the values that need them, so that no new key lacks its value.
    const bySet = new Map<string, string[]>();
    for await (const { key } of entriesUnder(this.#store, SECRETS_PREFIX, PAGED)) {
      const { set } = parseDataKeyKey(key);
      const keys = bySet.get(set);
      if (keys) keys.push(key);
      else bySet.set(set, [key]);
    }
    const orphans = new Set<string>();
    for (const [set, keys] of bySet) {
      const needed = await this.#needed(set);
      for (const key of keys) if (!needed.has(parseDataKeyKey(key).dataKey)) orphans.add(key);
    }
    for (const key of orphans) {
      if (!seen.has(key)) continue;
      await this.#store.txn({ then: [{ type: "delete", key }] });
      orphans.delete(key);
    }
    return orphans;
  }

  async #needed(set: string): Promise<ReadonlySet<string>> {
    const name = setOf(set);
    const needed = new Set<string>();
    const need = (ids: readonly string[]) => ids.forEach((id) => needed.add(id));
    // A draft becomes a proposal, and a proposal a release: in this order no value is missed.
    for await (const { value } of entriesUnder(this.#store, draftsPrefix(name), PAGED)) {
      const { key, item } = decodeJson<StoredDraft>(value);
      need(dataKeysOf(itemsOf({ [key]: item })));
    }
    for await (const { value } of entriesUnder(this.#store, proposalsPrefix(name), PAGED)) {
      need(dataKeysOf(itemsOf(decodeJson<StoredProposal>(value).changes)));
    }
    for await (const { value } of entriesUnder(this.#store, usedDataKeysPrefix(name), PAGED))
      need(decodeJson<string[]>(value));
    return needed;
  }
}
