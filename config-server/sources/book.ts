/**
 * The records of sources in the store: the progress of each, the sets that follow it, and the member that mirrors it. Every
 * member reads the same records.
 */
import { canonicalJson, decodeJson, encodeJson } from "#base";
import { commit, type KnownEntries, type Store } from "#store";
import { ConfigErrors, type FileProblem, type SetName } from "../api.ts";
import { mirrorKey, ownerKey, OWNERS_PREFIX, setId, sourceKey, SOURCES_PREFIX } from "../core/keys.ts";
import { ownerOf, type OwnerRecord } from "../core/owner.ts";
import type { ReleaseWrite } from "../core/release.ts";
import { entriesUnder } from "../releases/listing.ts";

/** How far a source has come. Times are ISO 8601. */
export interface SourceRecord {
  readonly detached?: { readonly by: string; readonly at: string };
  readonly seen?: { readonly commit: string; readonly at: string };
  /** `mapping`: the settings that it was read with; others make other sets of the same commit. */
  readonly released?: { readonly commit: string; readonly at: string; readonly mapping: string };
  readonly rewritten?: true;
  readonly error?: {
    readonly code: string;
    readonly detail: string;
    readonly problems: readonly FileProblem[];
    readonly at: string;
  };
}

/** This process as a member. Entries under `lease` are removed when the member is gone. */
export interface Member {
  readonly id: string;
  readonly lease: string | undefined;
}

export class SourceBook {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  async read(source: string): Promise<SourceRecord> {
    const { entries } = await this.#store.range({ key: sourceKey(source) });
    return entries[0] ? decodeJson<SourceRecord>(entries[0].value) : {};
  }

  async all(): Promise<Map<string, SourceRecord>> {
    const records = new Map<string, SourceRecord>();
    for await (const { key, value } of entriesUnder(this.#store, SOURCES_PREFIX)) {
      records.set(key.slice(SOURCES_PREFIX.length), decodeJson<SourceRecord>(value));
    }
    return records;
  }

  /** Writes the changed record, unless it is unchanged. */
  async update(source: string, change: (record: SourceRecord) => SourceRecord): Promise<SourceRecord> {
    const key = sourceKey(source);
    const { result } = await commit(this.#store, [{ key }], (known) => {
      const before = recordOf(known, source);
      const result = change(before);
      if (canonicalJson(before) === canonicalJson(result)) return { result };
      return { writes: [{ type: "put", key, value: encodeJson(result) }], result };
    });
    return result;
  }

  /** The source that each set follows. */
  async owners(): Promise<Map<string, { readonly name: SetName; readonly source: string }>> {
    const owners = new Map<string, { name: SetName; source: string }>();
    for await (const entry of entriesUnder(this.#store, OWNERS_PREFIX)) {
      const id = entry.key.slice(OWNERS_PREFIX.length);
      const [namespace, app, profile] = id.split("/") as [string, string, string];
      const source = ownerOf(entry);
      if (source !== undefined) owners.set(id, { name: { namespace, app, profile }, source });
    }
    return owners;
  }

  /** Writes for the same revision as a release, after which the set follows the source. @throws CONFIG_SOURCE_DETACHED */
  owning(source: string, name: SetName) {
    return {
      reads: [{ key: sourceKey(source) }],
      writes: (known: KnownEntries): ReleaseWrite[] => {
        requireAttached(recordOf(known, source), source);
        return [{ type: "put", key: ownerKey(name), value: encodeJson({ source } satisfies OwnerRecord) }];
      },
    };
  }

  /** Lets an unchanged set follow the source, without a release. @throws CONFIG_SET_OWNED, CONFIG_SOURCE_DETACHED */
  async claim(source: string, name: SetName): Promise<void> {
    const { reads, writes } = this.owning(source, name);
    const key = ownerKey(name);
    await commit(this.#store, [...reads, { key }], (known) => {
      const owner = ownerOf(known.get(key));
      if (owner === source) return { result: undefined };
      if (owner !== undefined) {
        throw ConfigErrors.SET_OWNED(
          `"${setId(name)}" follows the source "${owner}", so "${source}" cannot own it. Remove it from one of them.`,
          { extra: { source: owner } },
        );
      }
      return { writes: writes(known), result: undefined };
    });
  }

  /** Ends the ownership of the source for all of its sets except some. */
  async letGo(source: string, but: ReadonlySet<string> = new Set()): Promise<void> {
    for (const [id, { name, source: owner }] of await this.owners()) {
      if (owner !== source || but.has(id)) continue;
      const key = ownerKey(name);
      await commit(this.#store, [{ key }], (known) =>
        ownerOf(known.get(key)) === source
          ? { writes: [{ type: "delete", key }], result: undefined }
          : { result: undefined },
      );
    }
  }

  /** Whether this member mirrors a source: the first member that asks does, until it is gone. */
  async mirrors(source: string, { id, lease }: Member): Promise<boolean> {
    if (lease === undefined) return false;
    const key = mirrorKey(source);
    const { succeeded, results } = await this.#store.txn({
      when: [{ key, target: "createRevision", is: "equal", value: 0 }],
      then: [{ type: "put", key, value: encodeJson({ member: id }), lease }],
      otherwise: [{ type: "range", key }],
    });
    if (succeeded) return true;
    const [found] = results;
    const entry = found?.type === "range" ? found.entries[0] : undefined;
    return entry !== undefined && decodeJson<{ member: string }>(entry.value).member === id;
  }
}

/** @throws CONFIG_SOURCE_DETACHED */
export function requireAttached({ detached }: SourceRecord, source: string): void {
  if (!detached) return;
  throw ConfigErrors.SOURCE_DETACHED(
    `Source "${source}" was detached by "${detached.by}" at ${detached.at}. Attach it to mirror it again.`,
  );
}

function recordOf(known: KnownEntries, source: string): SourceRecord {
  const entry = known.get(sourceKey(source));
  return entry ? decodeJson<SourceRecord>(entry.value) : {};
}
