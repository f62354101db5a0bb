/** Verdicts on checks. */
import { decodeJson } from "#base";
import { RegistryErrors, type Report } from "../../api.ts";
import { instanceKey, verdictKey, type InstanceName } from "../keys.ts";
import type { VerdictRecord } from "../record.ts";
import { requireOwner, type Commander } from "./commander.ts";
import { decodedRecord, instanceNotFound, put, type CommandPlan, type KnownEntries, type RecordOf } from "./plan.ts";

export interface ReportVerdictCommand {
  readonly name: InstanceName;
  readonly by: Commander;
  readonly check: string;
  readonly status: Report["status"];
  readonly nowMs: number;
  /** For a TTL check without a verdict under a lease: the lease to attach the verdict to. */
  readonly lease: string | undefined;
  readonly recordOf?: RecordOf;
}

/**
 * A verdict becomes a write only when it changes. The verdict of a TTL check has a lease of its own; the result then says
 * which lease to keep alive, or that one must be granted first.
 * @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_CHECK_NOT_FOUND
 */
export function reportVerdict(
  known: KnownEntries,
  { name, by, check: id, status, nowMs, lease, recordOf = decodedRecord }: ReportVerdictCommand,
): CommandPlan<{ keepAlive: string } | { grantSeconds: number } | undefined> {
  const instance = known.get(instanceKey(name));
  if (!instance) throw instanceNotFound(name);
  const record = recordOf(name, instance);
  requireOwner(name, record, by);
  const check = record.checks.find((candidate) => candidate.id === id);
  if (!check) {
    throw RegistryErrors.CHECK_NOT_FOUND(`Instance "${name.id}" of service "${name.service}" has no check "${id}".`);
  }
  const key = verdictKey(name, id);
  const current = known.get(key);
  const unchanged = current && decodeJson<VerdictRecord>(current.value).status === status;
  const verdict: VerdictRecord = { status, sinceMs: nowMs };
  if (check.type !== "ttl") {
    if (unchanged && current.lease === instance.lease) return { writes: [], result: undefined };
    return { writes: [put(key, verdict, instance.lease)], result: undefined };
  }
  if (unchanged && current.lease !== undefined && lease === undefined) {
    return { writes: [], result: { keepAlive: current.lease } };
  }
  if (lease === undefined) return { writes: [], result: { grantSeconds: check.ttlSeconds } };
  return { writes: [put(key, verdict, lease)], result: undefined };
}
