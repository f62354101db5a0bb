/**
 * A release: immutable, numbered from 1 without gaps, found by its hash. Publishing writes the release and moves the live
 * pointer in one transaction; a rollback is a new release with old content. A content that is too much for the record of
 * a release lies beside it in parts, which are there before the release is. Pure: the hash is handed in.
 */
import { canonicalJson, decodeJson, encodeJson } from "#base";
import { ConfigErrors, RELEASE_BYTES_MAX, type Provenance, type ReleaseSummary, type SetName } from "../api.ts";
import { contentUsedKey, liveKey, releaseKey, setId, stagedKey, usedDataKeysKey } from "./keys.ts";
import { dataKeysOf, type StoredItems, type StoredRelease } from "./sealed.ts";

/** Bytes of a content that stands in its release: a page of a hundred releases is then read in a moment. */
export const INLINE_BYTES_MAX = 16 * 1024;
/** Bytes of one part of a content: a write of it does not hold up others for long. */
export const PART_BYTES = 512 * 1024;

/** A release as it is stored: with its content, or with the number of parts that this lies in. */
export type ReleaseRecord = ReleaseSummary & ({ readonly items: StoredItems } | { readonly parts: number });

/** What the live pointer says. */
export interface LiveRecord {
  readonly version: number;
  readonly hash: string;
  /** It has secrets, which a release on top of it may refer to without saying so. */
  readonly secrets?: true;
}

export interface KnownEntry {
  readonly value: Uint8Array;
  readonly modRevision: number;
}

export interface PublishCommand {
  readonly name: SetName;
  readonly items: StoredItems;
  readonly author: string;
  readonly reason: string;
  readonly nowMs: number;
  readonly expectedVersion: number | undefined;
  readonly rollbackOf?: number | undefined;
  readonly promotedFrom?: string | undefined;
  readonly proposal?: string | undefined;
  readonly approvedBy?: readonly string[] | undefined;
  readonly emergency?: boolean | undefined;
  readonly source?: Provenance | undefined;
  /** Data keys that the live release has: they were noted as used before. */
  readonly knownDataKeys?: ReadonlySet<string>;
}

export type ReleaseWrite =
  | { readonly type: "put"; readonly key: string; readonly value: Uint8Array }
  | { readonly type: "delete"; readonly key: string };

export interface ReleasePlan {
  readonly writes: readonly ReleaseWrite[];
  readonly result: StoredRelease;
}

/** The content of a release: its bytes, the name that equal content has, and the parts that it is stored in (0: none). */
export interface Content {
  readonly bytes: Uint8Array;
  readonly hash: string;
  readonly parts: number;
}

/** @throws CONFIG_RELEASE_TOO_LARGE */
export function contentOf(items: StoredItems, hash: (bytes: Uint8Array) => string): Content {
  const bytes = new TextEncoder().encode(canonicalJson(items));
  if (bytes.length > RELEASE_BYTES_MAX) {
    throw ConfigErrors.RELEASE_TOO_LARGE(
      `The release is ${bytes.length} bytes; at most ${RELEASE_BYTES_MAX}. Split it over apps or profiles.`,
      { extra: { bytes: bytes.length, bytesMax: RELEASE_BYTES_MAX } },
    );
  }
  const parts = bytes.length <= INLINE_BYTES_MAX ? 0 : Math.ceil(bytes.length / PART_BYTES);
  return { bytes, hash: hash(bytes), parts };
}

/** @throws CONFIG_VERSION_CONFLICT (`extra.version` is the live one) */
export function publishRelease(live: KnownEntry | undefined, command: PublishCommand, content: Content): ReleasePlan {
  const { name, items, author, reason, nowMs, expectedVersion } = command;
  const { rollbackOf, promotedFrom, proposal, approvedBy = [], emergency = false, source } = command;
  const current = live ? decodeJson<LiveRecord>(live.value).version : 0;
  if (expectedVersion !== undefined && expectedVersion !== current) {
    throw ConfigErrors.VERSION_CONFLICT(
      `"${setId(name)}" is at version ${current}, not ${expectedVersion}. Read it, merge, and publish again.`,
      { extra: { version: current } },
    );
  }
  const version = current + 1;
  const { hash, parts } = content;
  const summary: ReleaseSummary = {
    ...name,
    version,
    hash,
    author,
    reason,
    createdAt: new Date(nowMs).toISOString(),
    ...(rollbackOf === undefined ? {} : { rollbackOf }),
    ...(promotedFrom === undefined ? {} : { promotedFrom }),
    ...(proposal === undefined ? {} : { proposal }),
    ...(approvedBy.length === 0 ? {} : { approvedBy: [...approvedBy] }),
    ...(emergency ? { emergency } : {}),
    ...(source ? { source } : {}),
  };
  const dataKeys = dataKeysOf(items);
  const pointer: LiveRecord = { version, hash, ...(dataKeys.length > 0 ? { secrets: true } : {}) };
  const record: ReleaseRecord = { ...summary, ...(parts === 0 ? { items } : { parts }) };
  const writes: ReleaseWrite[] = [
    { type: "put", key: releaseKey(name, version), value: encodeJson(record) },
    { type: "put", key: liveKey(name), value: encodeJson(pointer) },
  ];
  const fresh = dataKeys.filter((id) => !command.knownDataKeys?.has(id));
  if (fresh.length > 0) writes.push({ type: "put", key: usedDataKeysKey(name, version), value: encodeJson(fresh) });
  if (parts > 0) {
    writes.push(
      { type: "put", key: contentUsedKey(name, hash), value: encodeJson({ version }) },
      { type: "delete", key: stagedKey(name, hash) },
    );
  }
  return { writes, result: { ...summary, items } };
}
