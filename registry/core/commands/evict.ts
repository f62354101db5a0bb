/** Eviction: deregistration of an instance whose check is still critical. */
import { decodeJson } from "#base";
import { RegistryErrors } from "../../api.ts";
import { statusBy } from "../catalog.ts";
import { instanceKey, verdictKey } from "../keys.ts";
import type { InstanceRecord, VerdictRecord } from "../record.ts";
import { deregisterInstance, type DeregisterCommand } from "./deregister.ts";
import { instanceNotFound, type CommandPlan, type KnownEntries } from "./plan.ts";

export interface EvictCommand extends DeregisterCommand {
  readonly check: string;
}

/**
 * Deregisters an instance if the check is still critical, so that a verdict that arrived meanwhile wins. The result says
 * whether it did.
 * @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_CHECK_NOT_FOUND, REGISTRY_REVISION_MISMATCH
 */
export function evictInstance(known: KnownEntries, { check, ...deregister }: EvictCommand): CommandPlan<boolean> {
  const { name } = deregister;
  const entry = known.get(instanceKey(name));
  if (!entry) throw instanceNotFound(name);
  const stored = decodeJson<InstanceRecord>(entry.value).checks.find(({ id }) => id === check);
  if (!stored) throw RegistryErrors.CHECK_NOT_FOUND(`Instance "${name.id}" no longer has a check "${check}".`);
  const verdict = known.get(verdictKey(name, check));
  const status = statusBy(stored, verdict && decodeJson<VerdictRecord>(verdict.value));
  if (status !== "critical") return { writes: [], result: false };
  const { writes } = deregisterInstance(known, deregister);
  return { writes, result: true };
}
