/**
 * Contents of releases that are too large for one value of the store: written in parts before their release, read back as one.
 * A publisher that crashes in between leaves parts without a release, which are swept after a while.
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

  /** Writes the parts of a content before its release. Does nothing for a content without parts, or one that is stored already. */
  async stage(name: SetName, { hash, bytes, parts }: Content): Promise<void> {
    if (parts === 0) return;
    const used = await this.#store.range({ key: contentUsedKey(name, hash), keysOnly: true });
    if (used.count > 0) return;
    for (let part = 0; part < parts; part++) {
      const value = bytes.subarray(part * PART_BYTES, (part + 1) * PART_BYTES);
      await this.#store.txn({
        then: [
          // The mark comes first, so that a sweep finds every part.
          ...(part === 0 ? [{ type: "put" as const, key: stagedKey(name, hash), value: new Uint8Array() }] : []),
          { type: "put", key: partKey(name, hash, part), value },
        ],
      });
    }
  }

  /** Undefined when the release does not exist. */
  async read(name: SetName, version: number): Promise<StoredRelease | undefined> {
    const { entries } = await this.#store.range({ key: releaseKey(name, version) });
    if (!entries[0]) return undefined;
    const record = decodeJson<ReleaseRecord>(entries[0].value);
    if ("items" in record) return record;
    const { parts, ...summary } = record;
    // One read per part: an engine may refuse to return all parts in one answer.
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

  /** Removes contents that were staged at the last sweep and still have no release. Returns the staged contents, for the next sweep. */
  async sweep(seen: ReadonlyMap<string, number>): Promise<Map<string, number>> {
    const { entries } = await this.#store.range({ prefix: STAGED_PREFIX });
    for (const { key, modRevision } of entries) {
      if (seen.get(key) !== modRevision) continue;
      const { name, hash } = parseStagedKey(key);
      // A release in the meantime, or another publisher of the same content, keeps it.
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
