/**
 * Claims on an instance: an owner and its incarnation. A claim that was withdrawn leaves a tombstone, so that a late retry
 * of its registration does not restore the instance.
 */
import { decodeJson } from "#base";
import { RegistryErrors, type Registration } from "../../api.ts";
import { tombstoneKey, type InstanceName } from "../keys.ts";
import type { InstanceRecord, TombstoneRecord } from "../record.ts";
import type { Commander } from "./commander.ts";
import type { KnownEntries } from "./plan.ts";

/**
 * Within one principal, an id belongs to the owner that claimed it.
 * @throws REGISTRY_OWNED_BY_ANOTHER, REGISTRY_CLAIM_OUTDATED
 */
export function requireCurrentClaim(
  { id, service }: InstanceName,
  { owner, incarnation }: Registration,
  current: InstanceRecord | undefined,
): void {
  if (owner === undefined || current?.owner === undefined) return;
  if (current.owner !== owner) {
    throw RegistryErrors.OWNED_BY_ANOTHER(
      `Instance "${id}" of service "${service}" is registered by "${current.owner}", not by "${owner}". Use another id, or deregister that one first.`,
      { extra: { field: "/owner", owner: current.owner } },
    );
  }
  if (incarnation === undefined || current.incarnation === undefined || incarnation >= current.incarnation) return;
  throw RegistryErrors.CLAIM_OUTDATED(
    `"${owner}" has already claimed instance "${id}" of service "${service}" with incarnation ${current.incarnation}, which is newer than ${incarnation}. Claim it with a newer incarnation.`,
    { extra: { field: "/incarnation", incarnation: current.incarnation } },
  );
}

/**
 * The key of a tombstone that this claim removes; undefined without a tombstone.
 * @throws REGISTRY_CLAIM_OUTDATED when this claim was withdrawn
 */
export function tombstoneToRemove(
  known: KnownEntries,
  name: InstanceName,
  { owner, incarnation }: Registration,
  by: Commander,
): string | undefined {
  const tombstone = tombstoneOf(known, name);
  if (!tombstone) return undefined;
  const { incarnation: withdrawn, evicted } = tombstone;
  if (
    ownsTombstone(tombstone, by) &&
    owner === tombstone.owner &&
    incarnation !== undefined &&
    incarnation <= withdrawn
  ) {
    throw RegistryErrors.CLAIM_OUTDATED(
      `Instance "${name.id}" of service "${name.service}" was deregistered after "${owner}" claimed it with incarnation ${incarnation}. To register it again, claim it with an incarnation above ${withdrawn}.`,
      { extra: { field: "/incarnation", incarnation: withdrawn, ...(evicted ? { evicted } : {}) } },
    );
  }
  return tombstoneKey(name);
}

export function tombstoneOf(known: KnownEntries, name: InstanceName): TombstoneRecord | undefined {
  const entry = known.get(tombstoneKey(name));
  return entry && decodeJson<TombstoneRecord>(entry.value);
}

/** Whether a tombstone is of the caller's own claim. */
export function ownsTombstone({ by }: TombstoneRecord, { id, overrides }: Commander): boolean {
  return overrides || by === undefined || by === id;
}

/** The claim, or the other one if the same owner made it later. */
export function latestClaim(claim: TombstoneRecord, other: TombstoneRecord | undefined): TombstoneRecord {
  if (other === undefined || other.owner !== claim.owner || other.incarnation <= claim.incarnation) return claim;
  const { evicted: _evicted, ...newer } = other;
  return newer;
}
