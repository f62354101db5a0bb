/**
 * A release: immutable, numbered from 1 without gaps, found by its hash. Publishing writes the release and moves the live
 * pointer in one transaction; a rollback is a new release with earlier content. A content too large for the record of its
 * release is stored beside it in parts, which are written first. Pure: the hash function is a parameter.
 */
import { canonicalJson, costlyInvariant, decodeJson, encodeJson, invariant } from "#base";
import { ConfigErrors, RELEASE_BYTES_MAX, type Provenance, type ReleaseSummary, type SetName } from "../api.ts";
import { contentUsedKey, liveKey, releaseKey, rolloutKey, setId, stagedKey, usedDataKeysKey } from "./keys.ts";
import { begin, step, type LiveRecord, type Rollout, type RolloutPlan, type Tally } from "./rollout.ts";
import { dataKeysOf, type StoredItems, type StoredRelease } from "./sealed.ts";

/** Bytes of a content that is stored in the record of its release: a page of a hundred releases is then read quickly. */
export const INLINE_BYTES_MAX = 16 * 1024;
/** Bytes of one part of a content: writing it does not delay other writes for long. */
export const PART_BYTES = 512 * 1024;

/** A release as it is stored: with its content, or with the number of parts of the content. */
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
  /** `critical`: instances that are critical before the rollout begins. */
  readonly rollout?: { readonly plan: RolloutPlan; readonly critical: readonly string[] } | undefined;
  /** State of the rollout that an emergency release ends. */
  readonly tally?: Tally | undefined;
  readonly source?: Provenance | undefined;
  /** Data keys of the live release, which are already recorded as used. */
  readonly knownDataKeys?: ReadonlySet<string>;
}

export type ReleaseWrite =
  | { readonly type: "put"; readonly key: string; readonly value: Uint8Array }
  | { readonly type: "delete"; readonly key: string };

export interface ReleasePlan {
  readonly writes: readonly ReleaseWrite[];
  readonly result: StoredRelease;
}

/** The content of a release: its bytes, their hash, and the number of parts that it is stored in (0: none). */
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
      `The release is ${bytes.length} bytes; at most ${RELEASE_BYTES_MAX} are allowed. Split it into several apps or profiles.`,
      { extra: { bytes: bytes.length, bytesMax: RELEASE_BYTES_MAX } },
    );
  }
  const parts = bytes.length <= INLINE_BYTES_MAX ? 0 : Math.ceil(bytes.length / PART_BYTES);
  return { bytes, hash: hash(bytes), parts };
}

const NO_TALLY: Tally = { reached: 0, applied: 0, failures: [] };

/**
 * Plans a release on top of the live pointer of its set.
 * @throws CONFIG_VERSION_CONFLICT (`extra.version` is the live one), CONFIG_ROLLOUT_ACTIVE (`extra.version` is the one being
 * rolled out) unless it is an emergency, CONFIG_ROLLOUT_FIRST
 */
export function publishRelease(live: KnownEntry | undefined, command: PublishCommand, content: Content): ReleasePlan {
  const known = live ? decodeJson<LiveRecord>(live.value) : undefined;
  requirePublishable(known, command);
  const { name, items } = command;
  const { hash, parts } = content;
  const version = latestOf(known) + 1;
  invariant(version > (known?.version ?? 0), "a release has a higher number than the live one");
  const summary = summaryOf(command, version, hash);
  const dataKeys = dataKeysOf(items);
  const record: ReleaseRecord = { ...summary, ...(parts === 0 ? { items } : { parts }) };
  const pointer = pointerTo(known, command, { version, hash, ...(dataKeys.length > 0 ? { secrets: true } : {}) });
  const writes: ReleaseWrite[] = [
    ...(known?.rollout ? [supersededWrite({ ...known, rollout: known.rollout }, command, version)] : []),
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
  costlyInvariant(
    () => new Set(writes.map(({ key }) => key)).size === writes.length,
    "a release writes each key once: a transaction with two writes of a key is refused",
  );
  return { writes, result: { ...summary, items, ...(pointer.rollout ? { rollout: "running" as const } : {}) } };
}

function requirePublishable(
  known: LiveRecord | undefined,
  { name, expectedVersion, emergency = false, rollout }: PublishCommand,
): void {
  const current = known?.version ?? 0;
  if (known?.rollout && !emergency) {
    const { version, stage, plan } = known.rollout;
    throw ConfigErrors.ROLLOUT_ACTIVE(
      `Release ${version} of "${setId(name)}" is being rolled out, in stage ${stage + 1} of ${plan.stages.length}. Complete or abort it first (POST …/rollout/complete, …/abort), or release as an emergency.`,
      { extra: { version } },
    );
  }
  if (expectedVersion !== undefined && expectedVersion !== current) {
    throw versionConflict(name, { version: current, expectedVersion });
  }
  if (rollout && current === 0) {
    throw ConfigErrors.ROLLOUT_FIRST(
      `Nothing is live for "${setId(name)}", so a rollout would have nothing to go back to. Publish this release without "rollout".`,
      { extra: { field: "/rollout" } },
    );
  }
}

function summaryOf(command: PublishCommand, version: number, hash: string): ReleaseSummary {
  const { name, author, reason, nowMs } = command;
  const { rollbackOf, promotedFrom, proposal, approvedBy = [], emergency = false, source } = command;
  return {
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
}

/** The live pointer: to the release, or still to the present one with a rollout that brings the release. */
function pointerTo(
  known: LiveRecord | undefined,
  { rollout, author, reason, nowMs }: PublishCommand,
  release: Pick<LiveRecord, "version" | "hash" | "secrets">,
): LiveRecord {
  const { version, hash, secrets } = release;
  if (!known || !rollout) {
    return { version, hash, at: new Date(nowMs).toISOString(), ...(secrets ? { secrets } : {}) };
  }
  return {
    version: known.version,
    hash: known.hash,
    ...(known.at === undefined ? {} : { at: known.at }),
    ...(known.secrets ? { secrets: true } : {}),
    latest: version,
    rollout: begin(rollout.plan, { ...release, author, reason, nowMs, critical: rollout.critical }),
  };
}

/** The record of the rollout that an emergency release ends. */
function supersededWrite(
  known: LiveRecord & { readonly rollout: Rollout },
  { name, author, reason, nowMs, tally = NO_TALLY }: PublishCommand,
  version: number,
): ReleaseWrite {
  const because = `emergency release ${version}${reason === "" ? "" : `: ${reason}`}`;
  const { ended } = step(name, known, "supersede", { by: author, because, nowMs, tally, critical: [] });
  return { type: "put", key: rolloutKey(name, known.rollout.version), value: encodeJson(ended) };
}

/** The highest release number; 0 before the first release. */
export function latestOf(live: LiveRecord | undefined): number {
  return live?.latest ?? live?.version ?? 0;
}

export function versionConflict(name: SetName, is: { readonly version: number; readonly expectedVersion: number }) {
  return ConfigErrors.VERSION_CONFLICT(
    `"${setId(name)}" is at version ${is.version}, not ${is.expectedVersion}. Read it, merge, and publish again.`,
    { extra: { version: is.version } },
  );
}
