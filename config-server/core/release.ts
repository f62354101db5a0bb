/**
 * A release: immutable, numbered from 1 without gaps, found by its hash. Publishing writes the content and moves the
 * live pointer in one transaction; a rollback is a new release with old content. Pure: the hash is handed in.
 */
import { canonicalJson, decodeJson, encodeJson } from "#base";
import { ConfigErrors, RELEASE_BYTES_MAX, type Items, type Provenance, type Release, type SetName } from "../api.ts";
import { liveKey, releaseKey, setId } from "./keys.ts";

/** What the live pointer says. */
export interface LiveRecord {
  readonly version: number;
  readonly hash: string;
}

export interface KnownEntry {
  readonly value: Uint8Array;
  readonly modRevision: number;
}

export interface PublishCommand {
  readonly name: SetName;
  readonly items: Items;
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
}

export type ReleaseWrite = { readonly type: "put"; readonly key: string; readonly value: Uint8Array };

export interface ReleasePlan {
  readonly writes: readonly ReleaseWrite[];
  readonly result: Release;
}

/** Text whose hash names the content: equal items, equal text. */
export function contentText(items: Items): string {
  return canonicalJson(items);
}

/** @throws CONFIG_VERSION_CONFLICT (`extra.version` is the live one), CONFIG_RELEASE_TOO_LARGE */
export function publishRelease(live: KnownEntry | undefined, command: PublishCommand, hash: string): ReleasePlan {
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
  const release: Release = {
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
    items,
  };
  const value = encodeJson(release);
  if (value.length > RELEASE_BYTES_MAX) {
    throw ConfigErrors.RELEASE_TOO_LARGE(
      `The release is ${value.length} bytes; at most ${RELEASE_BYTES_MAX}. Split it over apps or profiles.`,
      { extra: { bytes: value.length, bytesMax: RELEASE_BYTES_MAX } },
    );
  }
  return {
    writes: [
      { type: "put", key: releaseKey(name, version), value },
      { type: "put", key: liveKey(name), value: encodeJson({ version, hash } satisfies LiveRecord) },
    ],
    result: release,
  };
}
