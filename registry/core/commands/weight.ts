/** Changes of an instance's weight alone. */
import { decodeJson } from "#base";
import { instanceKey, type InstanceName } from "../keys.ts";
import type { InstanceRecord } from "../record.ts";
import { requireOwner, type Commander } from "./commander.ts";
import { instanceNotFound, put, type CommandPlan, type KnownEntries } from "./plan.ts";

export interface SetWeightCommand {
  readonly name: InstanceName;
  readonly by: Commander;
  readonly weight: number;
}

/** @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_NOT_OWNER */
export function setWeight(known: KnownEntries, { name, by, weight }: SetWeightCommand): CommandPlan<void> {
  const current = known.get(instanceKey(name));
  if (!current) throw instanceNotFound(name);
  const record = decodeJson<InstanceRecord>(current.value);
  requireOwner(name, record, by);
  if (record.weight === weight) return { writes: [], result: undefined };
  const next: InstanceRecord = { ...record, weight };
  return { writes: [put(current.key, next, current.lease)], result: undefined };
}
