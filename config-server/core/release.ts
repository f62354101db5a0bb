/**
 * A release: immutable, numbered from 1 without gaps, found by its hash. Publishing writes the release and moves the live
 * pointer in one transaction; a rollback is a new release with old content. A content that is too much for the record of
 * a release lies beside it in parts, which are there before the release is. Pure: the hash is handed in.
 */
import { canonicalJson, decodeJson, encodeJson } from "#base";
import { ConfigErrors, RELEASE_BYTES_MAX, type Provenance, type ReleaseSummary, type SetName } from "../api.ts";
import { contentUsedKey, liveKey, releaseKey, rolloutKey, setId, stagedKey, usedDataKeysKey } from "./keys.ts";
import { begin, step, type LiveRecord, type RolloutPlan, type Tally } from "./rollout.ts";
import { dataKeysOf, type StoredItems, type StoredRelease } from "./sealed.ts";

/** Bytes of a content that stands in its release: a page of a hundred releases is then read in a moment. */
export const INLINE_BYTES_MAX = 16 * 1024;
/** Bytes of one part of a content: a write of it does not hold up others for long. */
export const PART_BYTES = 512 * 1024;

/** A release as it is stored: with its content, or with the number of parts that this lies in. */
export type ReleaseRecord = ReleaseSummary & ({ readonly items: StoredItems } | { readonly parts: number });

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
  /** Stage by stage; `critical`: instances that are so before it begins. */
  readonly rollout?: { readonly plan: RolloutPlan; readonly critical: readonly string[] } | undefined;
  /** Of the rollout that an emergency ends. */
  readonly tally?: Tally | undefined;
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

const NO_TALLY: Tally = { reached: 0, applied: 0, failures: [] };

/**
 * @throws CONFIG_VERSION_CONFLICT (`extra.version` is the live one), CONFIG_ROLLOUT_ACTIVE (`extra.version` is the one on its
 * way) unless it is an emergency, CONFIG_ROLLOUT_FIRST
 */
export function publishRelease(live: KnownEntry | undefined, command: PublishCommand, content: Content): ReleasePlan {
  const { name, items, author, reason, nowMs, expectedVersion, rollout } = command;
  const { rollbackOf, promotedFrom, proposal, approvedBy = [], emergency = false, source } = command;
  const known = live ? decodeJson<LiveRecord>(live.value) : undefined;
  const current = known?.version ?? 0;
  if (known?.rollout && !emergency) {
    throw ConfigErrors.ROLLOUT_ACTIVE(
      `Release ${known.rollout.version} of "${setId(name)}" is on its way, in stage ${known.rollout.stage + 1} of ${known.rollout.plan.stages.length}. Complete or abort it first (POST …/rollout/complete, …/abort), or release as an emergency.`,
      { extra: { version: known.rollout.version } },
    );
  }
  if (expectedVersion !== undefined && expectedVersion !== current) {
    throw versionConflict(name, { version: current, expectedVersion });
  }
  if (rollout && current === 0) {
    throw ConfigErrors.ROLLOUT_FIRST(
      `Nothing is live for "${setId(name)}", so a rollout could go back to nothing. Release this one without "rollout".`,
      { extra: { field: "/rollout" } },
    );
  }
  const version = latestOf(known) + 1;
  const { hash, parts } = content;
  const at = new Date(nowMs).toISOString();
  const summary: ReleaseSummary = {
    ...name,
    version,
    hash,
    author,
    reason,
    createdAt: at,
    ...(rollbackOf === undefined ? {} : { rollbackOf }),
    ...(promotedFrom === undefined ? {} : { promotedFrom }),
    ...(proposal === undefined ? {} : { proposal }),
    ...(approvedBy.length === 0 ? {} : { approvedBy: [...approvedBy] }),
    ...(emergency ? { emergency } : {}),
    ...(source ? { source } : {}),
  };
  const dataKeys = dataKeysOf(items);
  const secrets = dataKeys.length > 0 ? ({ secrets: true } as const) : {};
  const writes: ReleaseWrite[] = [];
  if (known?.rollout) {
    const because = `emergency release ${version}${reason === "" ? "" : `: ${reason}`}`;
    const context = { by: author, because, nowMs, tally: command.tally ?? NO_TALLY, critical: [] };
    const { ended } = step(name, { ...known, rollout: known.rollout }, "supersede", context);
    writes.push({ type: "put", key: rolloutKey(name, known.rollout.version), value: encodeJson(ended) });
  }
  const record: ReleaseRecord = { ...summary, ...(parts === 0 ? { items } : { parts }) };
  const pointer: LiveRecord =
    known && rollout
      ? {
          version: current,
          hash: known.hash,
          ...(known.at === undefined ? {} : { at: known.at }),
          ...(known.secrets ? { secrets: true } : {}),
          latest: version,
          rollout: begin(rollout.plan, {
            version,
            hash,
            ...secrets,
            author,
            reason,
            nowMs,
            critical: rollout.critical,
          }),
        }
      : { version, hash, at, ...secrets };
  writes.push(
    { type: "put", key: releaseKey(name, version), value: encodeJson(record) },
    { type: "put", key: liveKey(name), value: encodeJson(pointer) },
  );
  const fresh = dataKeys.filter((id) => !command.knownDataKeys?.has(id));
  if (fresh.length > 0) writes.push({ type: "put", key: usedDataKeysKey(name, version), value: encodeJson(fresh) });
  if (parts > 0) {
    writes.push(
      { type: "put", key: contentUsedKey(name, hash), value: encodeJson({ version }) },
      { type: "delete", key: stagedKey(name, hash) },
    );
  }
  return { writes, result: { ...summary, items, ...(pointer.rollout ? { rollout: "running" as const } : {}) } };
}

/** The highest number of a release; 0 before the first. */
export function latestOf(live: LiveRecord | undefined): number {
  return live?.latest ?? live?.version ?? 0;
}

export function versionConflict(name: SetName, is: { readonly version: number; readonly expectedVersion: number }) {
  return ConfigErrors.VERSION_CONFLICT(
    `"${setId(name)}" is at version ${is.version}, not ${is.expectedVersion}. Read it, merge, and publish again.`,
    { extra: { version: is.version } },
  );
}
