/** Deregistration, with the tombstone that it leaves. */
import { decodeJson } from "#base";
import { instanceKey, tombstoneKey, verdictsPrefix, type InstanceName } from "../keys.ts";
import type { InstanceRecord, TombstoneRecord } from "../record.ts";
import { latestClaim, ownsTombstone, tombstoneOf } from "./claims.ts";
import { requireOwner, type Commander } from "./commander.ts";
import {
  instanceNotFound,
  put,
  requireRevision,
  type CommandPlan,
  type KnownEntries,
  type RegistryWrite,
} from "./plan.ts";

export interface DeregisterCommand {
  readonly name: InstanceName;
  readonly by: Commander;
  readonly ifRevision: number | undefined;
  /** The lease of the tombstone: how long late repetitions of the claim are rejected. */
  readonly tombstoneLease: string;
  /** Set when the servers deregister it without a request. */
  readonly evicted?: true;
  /** A later claim that the owner may have sent meanwhile: it is withdrawn together with the current one. */
  readonly claim?: TombstoneRecord | undefined;
}

/**
 * `absent`: the instance does not exist. A claim of its owner that has not arrived yet is rejected all the same.
 * @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_REVISION_MISMATCH
 */
export function deregisterInstance(
  known: KnownEntries,
  { name, by, ifRevision, tombstoneLease, evicted, claim }: DeregisterCommand,
): CommandPlan<{ absent: boolean }> {
  const current = known.get(instanceKey(name));
  if (!current) {
    if (!claim) throw instanceNotFound(name);
    const tombstone = tombstoneOf(known, name);
    // A principal's claim does not replace the tombstone of another principal's claim.
    const isTheirs = tombstone !== undefined && !ownsTombstone(tombstone, by);
    const withdrawn = latestClaim({ ...claim, by: by.id }, tombstone);
    return {
      writes: isTheirs ? [] : [put(tombstoneKey(name), withdrawn, tombstoneLease)],
      result: { absent: true },
    };
  }
  requireRevision(name, current, ifRevision);
  const record = decodeJson<InstanceRecord>(current.value);
  requireOwner(name, record, by);
  const { owner, incarnation, registeredBy = by.id } = record;
  const writes: RegistryWrite[] = [
    { type: "delete", key: current.key },
    { type: "delete", prefix: verdictsPrefix(name) },
  ];
  if (owner !== undefined && incarnation !== undefined) {
    const withdrawn = latestClaim({ owner, incarnation, by: registeredBy }, claim && { ...claim, by: registeredBy });
    writes.push(put(tombstoneKey(name), { ...withdrawn, ...(evicted ? { evicted } : {}) }, tombstoneLease));
  }
  return { writes, result: { absent: false } };
}
