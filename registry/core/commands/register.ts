/** Registration of one instance, or of a batch in one revision. */
import { canonicalJson, costlyInvariant, decodeJson } from "#base";
import {
  DRAIN_SECONDS_MAX,
  RegistryErrors,
  type Check,
  type Registration,
  type Report,
  type ServicePolicy,
} from "../../api.ts";
import { instanceKey, policyKey, tombstoneKey, verdictKey, verdictsPrefix, type InstanceName } from "../keys.ts";
import { recordOf, type InstanceRecord, type VerdictRecord } from "../record.ts";
import { refuseUnfit, refuseUnreachable, type ProbedCheck, type StoredCheck } from "../stored-check.ts";
import { requireCurrentClaim, tombstoneToRemove } from "./claims.ts";
import { requireOwnId, type Commander } from "./commander.ts";
import { put, requireRevision, type CommandPlan, type KnownEntries, type RegistryWrite } from "./plan.ts";

export interface RegisterCommand {
  readonly name: InstanceName;
  readonly by: Commander;
  readonly registration: Registration;
  /** The caller's condition: the modRevision that it knows, 0 for "does not exist". */
  readonly ifRevision: number | undefined;
  readonly nowMs: number;
  /** Why the servers would not run a check; undefined: they would. */
  readonly refuse: (check: ProbedCheck) => string | undefined;
}

/** The entries that a registration reads. */
export function readsToRegister(name: InstanceName): ({ key: string } | { prefix: string })[] {
  return [
    { key: instanceKey(name) },
    { key: tombstoneKey(name) },
    { key: policyKey(name) },
    { prefix: verdictsPrefix(name) },
  ];
}

/**
 * @throws REGISTRY_REVISION_MISMATCH, REGISTRY_CHECK_INVALID, REGISTRY_REGISTRATION_INVALID, REGISTRY_OWNED_BY_ANOTHER,
 * REGISTRY_CLAIM_OUTDATED
 */
export function registerInstance(
  known: KnownEntries,
  { name, by, registration, ifRevision, nowMs, refuse }: RegisterCommand,
): CommandPlan<{ created: boolean }> {
  const key = instanceKey(name);
  const current = known.get(key);
  const previous = current && decodeJson<InstanceRecord>(current.value);
  requireRevision(name, current, ifRevision);
  requireUniquePorts(registration);
  requireOwnId(name, previous, by);
  requireCurrentClaim(name, registration, previous);
  const defaults = defaultChecks(known, name);
  refuseUnfit(registration, defaults ?? []);
  const tombstone = tombstoneToRemove(known, name, registration, by);
  // An operator that replaces a registration does not take the instance away from its owner.
  const owned = { ...recordOf(registration, defaults), registeredBy: previous?.registeredBy ?? by.id };
  const record = withDeadline(owned, previous, nowMs);
  requireUniqueChecks(record.checks);
  if (registration.checks && record.probedBy === "server") refuseUnreachable(record.checks, refuse);
  const { session } = registration;
  const same = current && current.lease === session && canonicalJson(previous) === canonicalJson(record);
  const writes: RegistryWrite[] = [
    ...(same ? [] : [put(key, record, session)]),
    ...(tombstone === undefined ? [] : [{ type: "delete", key: tombstone } as const]),
    ...verdictWrites(known, { name, registration, record, previous, nowMs }),
  ];
  costlyInvariant(
    () => new Set(writes.map((write) => ("key" in write ? write.key : write.prefix))).size === writes.length,
    "a registration writes each key once",
  );
  return { writes, result: { created: !current } };
}

/**
 * Verdicts that the registration states are written. Other verdicts outlive the new registration together with their check,
 * and move to its session; the verdict of a check that changed or was removed is deleted.
 */
function verdictWrites(
  known: KnownEntries,
  change: {
    readonly name: InstanceName;
    readonly registration: Registration;
    readonly record: InstanceRecord;
    readonly previous: InstanceRecord | undefined;
    readonly nowMs: number;
  },
): RegistryWrite[] {
  const { name, registration, record, previous, nowMs } = change;
  const { session } = registration;
  const writes: RegistryWrite[] = [];
  const stated = statedVerdicts(registration, record);
  for (const [id, status] of stated) {
    const current = known.get(verdictKey(name, id));
    const before = current && decodeJson<VerdictRecord>(current.value);
    if (before?.status === status && current?.lease === session) continue;
    const sinceMs = before?.status === status ? before.sinceMs : nowMs;
    const verdict: VerdictRecord = { status, sinceMs };
    writes.push(put(verdictKey(name, id), verdict, session));
  }
  for (const check of previous?.checks ?? []) {
    const verdict = known.get(verdictKey(name, check.id));
    if (!verdict || stated.has(check.id)) continue;
    const isKept = record.checks.some((next) => canonicalJson(next) === canonicalJson(check));
    if (!isKept) writes.push({ type: "delete", key: verdict.key });
    else if (check.type !== "ttl" && verdict.lease !== session) {
      writes.push(put(verdict.key, decodeJson<VerdictRecord>(verdict.value), session));
    }
  }
  return writes;
}

/** The verdicts that the agent states, by check. @throws REGISTRY_REGISTRATION_INVALID naming the field and how to fix it */
function statedVerdicts(
  { verdicts = [] }: Registration,
  { checks, probedBy }: InstanceRecord,
): Map<string, Report["status"]> {
  const stated = new Map<string, Report["status"]>();
  for (const [index, { check: id, status }] of verdicts.entries()) {
    const check = checks.find((candidate) => candidate.id === id);
    const problem =
      probedBy !== "agent"
        ? 'only an instance with probedBy "agent" may state verdicts; set probedBy to "agent", or remove them'
        : check === undefined
          ? `the instance has no check "${id}"`
          : check.type === "ttl"
            ? `check "${id}" is a TTL check, which passes only by reports; send PUT …/checks/${id} after the registration`
            : stated.has(id)
              ? `check "${id}" already has a verdict; state one per check`
              : undefined;
    if (problem !== undefined) {
      const field = `/verdicts/${index}`;
      throw RegistryErrors.REGISTRATION_INVALID(`${field}: ${problem}.`, { extra: { field } });
    }
    stated.set(id, status);
  }
  return stated;
}

/**
 * All of them in one revision, or none.
 * @throws what `registerInstance` throws, naming the place in the batch
 */
export function registerBatch(
  known: KnownEntries,
  batch: readonly RegisterCommand[],
): CommandPlan<{ created: number }> {
  const writes: RegistryWrite[] = [];
  const seen = new Set<string>();
  let created = 0;
  for (const [index, register] of batch.entries()) {
    const key = instanceKey(register.name);
    if (seen.has(key)) {
      const { service, id } = register.name;
      throw RegistryErrors.REGISTRATION_INVALID(
        `Instance "${id}" of service "${service}" is in the batch twice. Remove one of the two.`,
        { extra: { field: `/instances/${index}` } },
      );
    }
    seen.add(key);
    const plan = registerInstance(known, register);
    writes.push(...plan.writes);
    if (plan.result.created) created++;
  }
  return { writes, result: { created } };
}

function defaultChecks(known: KnownEntries, name: InstanceName): readonly Check[] | undefined {
  const entry = known.get(policyKey(name));
  return entry && decodeJson<ServicePolicy>(entry.value).checks;
}

/**
 * A registration with lifecycle `draining` states no deadline, so its drain takes the longest time allowed. Repeating it
 * does not move the deadline.
 */
function withDeadline(record: InstanceRecord, previous: InstanceRecord | undefined, nowMs: number): InstanceRecord {
  if (record.lifecycle !== "draining") return record;
  return { ...record, drainUntilMs: previous?.drainUntilMs ?? nowMs + DRAIN_SECONDS_MAX * 1000 };
}

function requireUniquePorts({ ports = [] }: Registration): void {
  const seen = new Set<string>();
  for (const [index, { name }] of ports.entries()) {
    if (seen.has(name)) {
      throw RegistryErrors.REGISTRATION_INVALID(`Two ports have the name "${name}". Rename one of them.`, {
        extra: { field: `/ports/${index}/name` },
      });
    }
    seen.add(name);
  }
}

function requireUniqueChecks(checks: readonly StoredCheck[]): void {
  const seen = new Set<string>();
  for (const { id } of checks) {
    if (seen.has(id)) {
      throw RegistryErrors.CHECK_INVALID(`Two checks have the id "${id}". Give each check its own id.`, {
        extra: { field: "/checks" },
      });
    }
    seen.add(id);
  }
}
