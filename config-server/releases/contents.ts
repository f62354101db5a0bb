/**
 * Contents of releases that are too much for one value of the store: written in parts before their release, read back as
 * one. A publisher that dies between the two leaves parts that no release is made of; they are swept after a while.
 */
import { decodeJson, type Host } from "#base";
import { type Store, StoreErrors } from "#store";
import type { SetName } from "../api.ts";
import {
  contentPrefix,
  contentUsedKey,
  parseStagedKey,
  partKey,
  releaseKey,
  setId,
  STAGED_PREFIX,
  stagedKey,
} from "../core/keys.ts";
import { PART_BYTES, type Content, type ReleaseRecord } from "../core/release.ts";
import type { StoredItems, StoredRelease } from "../core/sealed.ts";
import { sweepRegularly } from "./sweeping.ts";

export class Contents {
  readonly #host: Host;
  readonly #store: Store;

  constructor(host: Host, store: Store) {
    this.#host = host;
    this.#store = store;
  }

  /** Puts the parts where their release will look for them; nothing to do for one that has none, or whose parts are there. */
  async stage(name: SetName, { hash, bytes, parts }: Content): Promise<void> {
    if (parts === 0) return;
    const used = await this.#store.range({ key: contentUsedKey(name, hash), keysOnly: true });
    if (used.count > 0) return;
    for (let part = 0; part < parts; part++) {
      const value = bytes.subarray(part * PART_BYTES, (part + 1) * PART_BYTES);
      await this.#store.txn({
        then: [
          // First of all, so that nothing lies there that no sweep would find.
          ...(part === 0 ? [{ type: "put" as const, key: stagedKey(name, hash), value: new Uint8Array() }] : []),
          { type: "put", key: partKey(name, hash, part), value },
        ],
      });
    }
  }

  /** Undefined when there is no such release. */
  async read(name: SetName, version: number): Promise<StoredRelease | undefined> {
    const { entries } = await this.#store.range({ key: releaseKey(name, version) });
    if (!entries[0]) return undefined;
    const record = decodeJson<ReleaseRecord>(entries[0].value);
    if ("items" in record) return record;
    const { parts, ...summary } = record;
    // One by one: an engine may refuse to answer with so much at once.
    const found = await Promise.all(
      Array.from({ length: parts }, (_, part) => this.#store.range({ key: partKey(name, record.hash, part) })),
    );
    const values = found.flatMap(({ entries }) => entries.map(({ value }) => value));
    if (values.length !== parts) {
      throw StoreErrors.CORRUPT(
        `Release ${version} of "${setId(name)}" has ${values.length} of its ${parts} parts. Restore the store from a backup.`,
      );
    }
    return { ...summary, items: decodeJson<StoredItems>(Buffer.concat(values)) };
  }

  /** Sweeps regularly. Give it to a TaskGroup. */
  run(signal: AbortSignal): Promise<void> {
    const none: ReadonlyMap<string, number> = new Map();
    return sweepRegularly(this.#host, { what: "contents", none, sweep: (seen) => this.sweep(seen) }, signal);
  }

  /** Removes what was staged by then and is still no release. Returns what is staged now, for the next sweep. */
  async sweep(seen: ReadonlyMap<string, number>): Promise<Map<string, number>> {
    const { entries } = await this.#store.range({ prefix: STAGED_PREFIX });
    for (const { key, modRevision } of entries) {
      if (seen.get(key) !== modRevision) continue;
      const { name, hash } = parseStagedKey(key);
      // A release that came meanwhile, or somebody who publishes the same just now, has it stay.
      await this.#store.txn({
        when: [
          { key, target: "modRevision", is: "equal", value: modRevision },
          { key: contentUsedKey(name, hash), target: "createRevision", is: "equal", value: 0 },
        ],
        then: [
          { type: "delete", prefix: contentPrefix(name, hash) },
          { type: "delete", key },
        ],
      });
    }
    return new Map(entries.map(({ key, modRevision }) => [key, modRevision]));
  }
}
