/** Changes of an instance's lifecycle. */
import { decodeJson } from "#base";
import type { Lifecycle } from "../../api.ts";
import { instanceKey, type InstanceName } from "../keys.ts";
import type { InstanceRecord } from "../record.ts";
import { requireOwner, type Commander } from "./commander.ts";
import { instanceNotFound, put, type CommandPlan, type KnownEntries } from "./plan.ts";

export interface SetLifecycleCommand {
  readonly name: InstanceName;
  readonly by: Commander;
  readonly lifecycle: Lifecycle;
  /** Milliseconds since 1970 at which a drain is over. */
  readonly drainUntilMs: number;
  /** Applies only to a drain whose deadline has passed at this time, so not to one that was ended or extended meanwhile. */
  readonly ifOverAtMs?: number;
}

/** @throws REGISTRY_INSTANCE_NOT_FOUND */
export function setLifecycle(
  known: KnownEntries,
  { name, by, lifecycle, drainUntilMs, ifOverAtMs }: SetLifecycleCommand,
): CommandPlan<void> {
  const current = known.get(instanceKey(name));
  if (!current) throw instanceNotFound(name);
  const { drainUntilMs: before, ...record } = decodeJson<InstanceRecord>(current.value);
  requireOwner(name, record, by);
  const over = before !== undefined && ifOverAtMs !== undefined && before <= ifOverAtMs;
  if (record.lifecycle === lifecycle || (ifOverAtMs !== undefined && !over)) return { writes: [], result: undefined };
  const next: InstanceRecord = { ...record, lifecycle, ...(lifecycle === "draining" ? { drainUntilMs } : {}) };
  return { writes: [put(current.key, next, current.lease)], result: undefined };
}
