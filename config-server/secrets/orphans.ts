/**
 * Data keys that nothing needs: of releases that were refused after their secrets were encrypted, and of drafts that were
 * changed or discarded. They are swept after a while, and with them goes the last way to read what they encrypted.
 */
import { decodeJson, type Host } from "#base";
import type { Entry, Store } from "#store";
import type { SetName } from "../api.ts";
import { itemsOf, type StoredDraft, type StoredProposal } from "../core/change.ts";
import { draftsPrefix, parseDataKeyKey, proposalsPrefix, SECRETS_PREFIX, usedDataKeysPrefix } from "../core/keys.ts";
import { dataKeysOf } from "../core/sealed.ts";
import { sweepRegularly } from "../releases/sweeping.ts";

/** Entries read at a time. */
const PAGE = 100;

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
   * Removes what nothing needed at the last sweep and nothing needs now: between the two whoever encrypts has long released.
   * Returns what nothing needs now, for the next sweep.
   */
  async sweep(seen: ReadonlySet<string>): Promise<ReadonlySet<string>> {
    // What is listed before those that need it is looked at cannot have come in between.
    const bySet = new Map<string, string[]>();
    for await (const { key } of this.#under(SECRETS_PREFIX)) {
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
    const [namespace, app, profile] = set.split("/") as [string, string, string];
    const name: SetName = { namespace, app, profile };
    const needed = new Set<string>();
    const need = (ids: readonly string[]) => ids.forEach((id) => needed.add(id));
    // A draft becomes a proposal and that a release, so none of them is missed in this order.
    for await (const { value } of this.#under(draftsPrefix(name))) {
      const { key, item } = decodeJson<StoredDraft>(value);
      need(dataKeysOf(itemsOf({ [key]: item })));
    }
    for await (const { value } of this.#under(proposalsPrefix(name))) {
      need(dataKeysOf(itemsOf(decodeJson<StoredProposal>(value).changes)));
    }
    for await (const { value } of this.#under(usedDataKeysPrefix(name))) need(decodeJson<string[]>(value));
    return needed;
  }

  async *#under(prefix: string): AsyncGenerator<Entry> {
    let after: string | undefined;
    for (;;) {
      const page = await this.#store.range({ prefix, limit: PAGE, ...(after === undefined ? {} : { after }) });
      yield* page.entries;
      if (!page.more) return;
      after = page.entries.at(-1)?.key;
    }
  }
}
