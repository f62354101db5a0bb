/**
 * Commands become transactions. What is known of the keys in question and a command go in; the writes, or an error, come
 * out. Nothing is written when nothing would change, so repeating a command costs no revision and wakes nobody.
 */
import { canonicalJson, decodeJson, encodeJson } from "#base";
import {
  DRAIN_SECONDS_MAX,
  RegistryErrors,
  type Check,
  type Lifecycle,
  type Registration,
  type Report,
  type ServicePolicy,
} from "../api.ts";
import type { CatalogEntry } from "./catalog.ts";
import { instanceKey, policyKey, tombstoneKey, verdictKey, verdictsPrefix, type InstanceName } from "./keys.ts";
import { recordOf, type InstanceRecord, type TombstoneRecord, type VerdictRecord } from "./record.ts";
import {
  refuseUnfit,
  refuseUnfitChecks,
  refuseUnreachable,
  type ProbedCheck,
  type StoredCheck,
} from "./stored-check.ts";

export type Known = ReadonlyMap<string, CatalogEntry>;

export type Write =
  | { readonly type: "put"; readonly key: string; readonly value: Uint8Array; readonly lease?: string }
  | { readonly type: "delete"; readonly key: string }
  | { readonly type: "delete"; readonly prefix: string };

export interface Plan<Result> {
  readonly writes: readonly Write[];
  readonly result: Result;
}

/** Who commands: the caller's principal, which no field of a request can name. */
export interface Commander {
  readonly id: string;
  /** Whether it may act on what belongs to others: an operator, or the servers themselves. */
  readonly overrides: boolean;
}

/** The servers: what they evict, end and judge by themselves. */
export const SERVERS: Commander = Object.freeze({ id: "internal:servers", overrides: true });

export interface Register {
  readonly name: InstanceName;
  readonly by: Commander;
  readonly registration: Registration;
  /** The caller's condition: the modRevision it knows, 0 for "not there yet". */
  readonly ifRevision: number | undefined;
  readonly nowMs: number;
  /** Why the servers would not run a check; undefined: they would. */
  readonly refuse: (check: ProbedCheck) => string | undefined;
}

/**
 * @throws REGISTRY_REVISION_MISMATCH, REGISTRY_CHECK_INVALID, REGISTRY_REGISTRATION_INVALID, REGISTRY_OWNED_BY_ANOTHER,
 * REGISTRY_CLAIM_OUTDATED
 */
export function registerInstance(
  known: Known,
  { name, by, registration, ifRevision, nowMs, refuse }: Register,
): Plan<{ created: boolean }> {
  const key = instanceKey(name);
  const current = known.get(key);
  const previous = current && decodeJson<InstanceRecord>(current.value);
  checkRevision(name, current, ifRevision);
  checkPorts(registration);
  checkOwner(name, previous, by);
  checkClaim(name, registration, previous);
  refuseUnfit(registration, defaultChecks(known, name) ?? []);
  const grave = checkTombstone(known, name, registration, by);
  // An operator who replaces a registration does not take the instance away from its owner.
  const owned = {
    ...recordOf(registration, defaultChecks(known, name)),
    registeredBy: previous?.registeredBy ?? by.id,
  };
  const record = withDeadline(owned, previous, nowMs);
  checkChecks(record.checks);
  if (registration.checks && record.probedBy === "server") refuseUnreachable(record.checks, refuse);
  const { session } = registration;
  const writes: Write[] = [];
  const same = current && current.lease === session && canonicalJson(previous) === canonicalJson(record);
  if (!same) writes.push(put(key, record, session));
  if (grave) writes.push({ type: "delete", key: grave });
  const said = knownVerdicts(registration, record);
  for (const [id, status] of said) {
    const current = known.get(verdictKey(name, id));
    const before = current && decodeJson<VerdictRecord>(current.value);
    if (before?.status === status && current?.lease === session) continue;
    const sinceMs = before?.status === status ? before.sinceMs : nowMs;
    writes.push(put(verdictKey(name, id), verdict(status, sinceMs), session));
  }
  // Verdicts outlive a new registration of the same check, but not the check, and move to the new session with it.
  for (const check of previous?.checks ?? []) {
    const verdict = known.get(verdictKey(name, check.id));
    if (!verdict) continue;
    const kept = record.checks.find((next) => canonicalJson(next) === canonicalJson(check));
    if (said.has(check.id)) continue;
    if (!kept) writes.push({ type: "delete", key: verdict.key });
    else if (check.type !== "ttl" && verdict.lease !== session) {
      writes.push(put(verdict.key, decodeJson<VerdictRecord>(verdict.value), session));
    }
  }
  return { writes, result: { created: !current } };
}

/** What the agent has found, by check. @throws REGISTRY_REGISTRATION_INVALID naming the field and the way out */
function knownVerdicts(
  { verdicts = [] }: Registration,
  { checks, probedBy }: InstanceRecord,
): Map<string, Report["status"]> {
  const found = new Map<string, Report["status"]>();
  for (const [index, { check: id, status }] of verdicts.entries()) {
    const check = checks.find((candidate) => candidate.id === id);
    const problem =
      probedBy !== "agent"
        ? 'only an agent knows verdicts before it registers: say probedBy "agent", or leave them out'
        : check === undefined
          ? `the instance has no check "${id}"`
          : check.type === "ttl"
            ? `check "${id}" is a TTL check, which passes by reports: PUT …/checks/${id}/status after this`
            : found.has(id)
              ? `check "${id}" has a verdict already`
              : undefined;
    if (problem !== undefined) {
      const field = `/verdicts/${index}`;
      throw RegistryErrors.REGISTRATION_INVALID(`${field}: ${problem}.`, { extra: { field } });
    }
    found.set(id, status);
  }
  return found;
}

/**
 * All of them in one revision, or none.
 * @throws what `registerInstance` throws, naming the place in the batch
 */
export function registerBatch(known: Known, batch: readonly Register[]): Plan<{ created: number }> {
  const writes: Write[] = [];
  const seen = new Set<string>();
  let created = 0;
  for (const [index, register] of batch.entries()) {
    const key = instanceKey(register.name);
    if (seen.has(key)) {
      const { service, id } = register.name;
      throw RegistryErrors.REGISTRATION_INVALID(`Instance "${id}" of service "${service}" is in the batch twice.`, {
        extra: { field: `/instances/${index}` },
      });
    }
    seen.add(key);
    const plan = registerInstance(known, register);
    writes.push(...plan.writes);
    if (plan.result.created) created++;
  }
  return { writes, result: { created } };
}

/** What is read before an instance is registered. */
export function readsToRegister(name: InstanceName): ({ key: string } | { prefix: string })[] {
  return [
    { key: instanceKey(name) },
    { key: tombstoneKey(name) },
    { key: policyKey(name) },
    { prefix: verdictsPrefix(name) },
  ];
}

/** Of a deregistration: who asks, and the lease that its tombstone lives by. */
export interface Deregister {
  readonly name: InstanceName;
  readonly by: Commander;
  readonly ifRevision: number | undefined;
  /** For how long late repetitions of the claim are kept out. */
  readonly tombstoneLease: string;
  /** By the servers, and not because somebody said so. */
  readonly evicted?: true;
  /** What its owner may have claimed it anew meanwhile: that claim is taken back with the one that stands here. */
  readonly claim?: TombstoneRecord | undefined;
}

/**
 * `absent`: there was nothing to remove; a claim of its owner's that is still on its way is kept out all the same.
 * @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_REVISION_MISMATCH
 */
export function deregisterInstance(
  known: Known,
  { name, by, ifRevision, tombstoneLease, evicted, claim }: Deregister,
): Plan<{ absent: boolean }> {
  const current = known.get(instanceKey(name));
  if (!current) {
    if (!claim) throw notFound(name);
    const grave = graveOf(known, name);
    // A claim of one principal says nothing of another's.
    const isTheirs = grave !== undefined && !ownsGrave(grave, by);
    const buried = latest({ ...claim, by: by.id }, grave);
    return {
      writes: isTheirs ? [] : [put(tombstoneKey(name), buried, tombstoneLease)],
      result: { absent: true },
    };
  }
  checkRevision(name, current, ifRevision);
  const record = decodeJson<InstanceRecord>(current.value);
  requireOwner(name, record, by);
  const { owner, incarnation, registeredBy = by.id } = record;
  const writes: Write[] = [
    { type: "delete", key: current.key },
    { type: "delete", prefix: verdictsPrefix(name) },
  ];
  if (owner !== undefined && incarnation !== undefined) {
    const buried = latest({ owner, incarnation, by: registeredBy }, claim && { ...claim, by: registeredBy });
    writes.push(put(tombstoneKey(name), { ...buried, ...(evicted ? { evicted } : {}) }, tombstoneLease));
  }
  return { writes, result: { absent: false } };
}

export interface SetLifecycle {
  readonly name: InstanceName;
  readonly by: Commander;
  readonly lifecycle: Lifecycle;
  /** Milliseconds since 1970 at which a drain is over. */
  readonly drainUntilMs: number;
  /** Only if it is draining with a deadline that is over by now: nobody ended it meanwhile. */
  readonly ifOverAtMs?: number;
}

/** @throws REGISTRY_INSTANCE_NOT_FOUND */
export function setLifecycle(
  known: Known,
  { name, by, lifecycle, drainUntilMs, ifOverAtMs }: SetLifecycle,
): Plan<void> {
  const current = known.get(instanceKey(name));
  if (!current) throw notFound(name);
  const { drainUntilMs: before, ...record } = decodeJson<InstanceRecord>(current.value);
  requireOwner(name, record, by);
  const over = before !== undefined && ifOverAtMs !== undefined && before <= ifOverAtMs;
  if (record.lifecycle === lifecycle || (ifOverAtMs !== undefined && !over)) return { writes: [], result: undefined };
  const next: InstanceRecord = { ...record, lifecycle, ...(lifecycle === "draining" ? { drainUntilMs } : {}) };
  return { writes: [put(current.key, next, current.lease)], result: undefined };
}

/** @throws REGISTRY_CHECK_INVALID */
export function setPolicy(known: Known, key: string, policy: ServicePolicy | undefined): Plan<void> {
  refuseUnfitChecks(policy?.checks ?? []);
  const current = known.get(key);
  if (policy === undefined) return { writes: current ? [{ type: "delete", key }] : [], result: undefined };
  const same = current && canonicalJson(decodeJson(current.value)) === canonicalJson(policy);
  return { writes: same ? [] : [put(key, policy, undefined)], result: undefined };
}

export interface Verdict {
  readonly name: InstanceName;
  readonly by: Commander;
  readonly check: string;
  readonly status: Report["status"];
  readonly nowMs: number;
  /** For a TTL check that is not passing by a lease yet: the lease to live by. */
  readonly lease: string | undefined;
}

/**
 * A verdict becomes a write only when it changes. A TTL check that passes lives by a lease of its own; the result then
 * says which to keep alive, or that one must be granted first.
 * @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_CHECK_NOT_FOUND
 */
export function reportVerdict(
  known: Known,
  { name, by, check: id, status, nowMs, lease }: Verdict,
): Plan<{ keepAlive: string } | { grantSeconds: number } | undefined> {
  const instance = known.get(instanceKey(name));
  if (!instance) throw notFound(name);
  const record = decodeJson<InstanceRecord>(instance.value);
  requireOwner(name, record, by);
  const check = record.checks.find((candidate) => candidate.id === id);
  if (!check) {
    throw RegistryErrors.CHECK_NOT_FOUND(`Instance "${name.id}" of service "${name.service}" has no check "${id}".`);
  }
  const key = verdictKey(name, id);
  const current = known.get(key);
  const unchanged = current && decodeJson<VerdictRecord>(current.value).status === status;
  if (check.type !== "ttl") {
    if (unchanged && current.lease === instance.lease) return { writes: [], result: undefined };
    return { writes: [put(key, verdict(status, nowMs), instance.lease)], result: undefined };
  }
  if (unchanged && current.lease !== undefined && lease === undefined) {
    return { writes: [], result: { keepAlive: current.lease } };
  }
  if (lease === undefined) return { writes: [], result: { grantSeconds: check.ttlSeconds } };
  return { writes: [put(key, verdict(status, nowMs), lease)], result: undefined };
}

function verdict(status: Report["status"], sinceMs: number): VerdictRecord {
  return { status, sinceMs };
}

function put(key: string, value: unknown, lease: string | undefined): Write {
  return { type: "put", key, value: encodeJson(value), ...(lease === undefined ? {} : { lease }) };
}

function checkChecks(checks: readonly StoredCheck[]): void {
  const seen = new Set<string>();
  for (const { id } of checks) {
    if (seen.has(id)) {
      throw RegistryErrors.CHECK_INVALID(`Two checks have the id "${id}"; each needs its own.`, {
        extra: { field: "/checks" },
      });
    }
    seen.add(id);
  }
}

function isOwner({ registeredBy }: InstanceRecord, { id, overrides }: Commander): boolean {
  return overrides || registeredBy === undefined || registeredBy === id;
}

/** Whether a tombstone is of one's own claim. */
function ownsGrave({ by }: TombstoneRecord, { id, overrides }: Commander): boolean {
  return overrides || by === undefined || by === id;
}

/** An instance belongs to the principal that registered it, until it is deregistered or its session ends. */
function checkOwner({ id, service }: InstanceName, current: InstanceRecord | undefined, by: Commander): void {
  if (!current || isOwner(current, by)) return;
  throw RegistryErrors.OWNED_BY_ANOTHER(
    `Instance "${id}" of service "${service}" belongs to "${current.registeredBy}", not to "${by.id}". Use another id, or have it deregistered first.`,
  );
}

/** @throws REGISTRY_NOT_OWNER */
function requireOwner({ id, service }: InstanceName, current: InstanceRecord, by: Commander): void {
  if (isOwner(current, by)) return;
  throw RegistryErrors.NOT_OWNER(
    `Instance "${id}" of service "${service}" belongs to "${current.registeredBy}", not to "${by.id}". Its owner or an operator may change it.`,
  );
}

/** Within one principal, an id belongs to whoever claimed it by name. */
function checkClaim(
  { id, service }: InstanceName,
  { owner, incarnation }: Registration,
  current?: InstanceRecord,
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
    `"${owner}" claimed instance "${id}" of service "${service}" with incarnation ${current.incarnation} after ${incarnation}. This one came late; claim it with a newer one.`,
    { extra: { field: "/incarnation", incarnation: current.incarnation } },
  );
}

function graveOf(known: Known, name: InstanceName): TombstoneRecord | undefined {
  const entry = known.get(tombstoneKey(name));
  return entry && decodeJson<TombstoneRecord>(entry.value);
}

/** The claim, or another of the same owner's if that is newer. */
function latest(claim: TombstoneRecord, other: TombstoneRecord | undefined): TombstoneRecord {
  if (other === undefined || other.owner !== claim.owner || other.incarnation <= claim.incarnation) return claim;
  const { evicted: _evicted, ...newer } = other;
  return newer;
}

/** The key of a tombstone that this claim may remove; none when there is none. */
function checkTombstone(
  known: Known,
  name: InstanceName,
  { owner, incarnation }: Registration,
  by: Commander,
): string | undefined {
  const entry = known.get(tombstoneKey(name));
  if (!entry) return undefined;
  const grave = decodeJson<TombstoneRecord>(entry.value);
  if (ownsGrave(grave, by) && owner === grave.owner && incarnation !== undefined && incarnation <= grave.incarnation) {
    throw RegistryErrors.CLAIM_OUTDATED(
      `Instance "${name.id}" of service "${name.service}" was deregistered after "${owner}" claimed it with incarnation ${incarnation}. To bring it back claim it anew, with one above ${grave.incarnation}.`,
      {
        extra: {
          field: "/incarnation",
          incarnation: grave.incarnation,
          ...(grave.evicted ? { evicted: grave.evicted } : {}),
        },
      },
    );
  }
  return entry.key;
}

function defaultChecks(known: Known, name: InstanceName): readonly Check[] | undefined {
  const entry = known.get(policyKey(name));
  return entry && decodeJson<ServicePolicy>(entry.value).checks;
}

/** A drain that is registered, and not asked for with a deadline, takes as long as any may; repeating it moves nothing. */
function withDeadline(record: InstanceRecord, previous: InstanceRecord | undefined, nowMs: number): InstanceRecord {
  if (record.lifecycle !== "draining") return record;
  return { ...record, drainUntilMs: previous?.drainUntilMs ?? nowMs + DRAIN_SECONDS_MAX * 1000 };
}

function checkPorts({ ports = [] }: Registration): void {
  const seen = new Set<string>();
  for (const [index, { name }] of ports.entries()) {
    if (seen.has(name)) {
      throw RegistryErrors.REGISTRATION_INVALID(`Two ports have the name "${name}"; each needs its own.`, {
        extra: { field: `/ports/${index}/name` },
      });
    }
    seen.add(name);
  }
}

function checkRevision(name: InstanceName, current: CatalogEntry | undefined, wanted: number | undefined): void {
  if (wanted === undefined || (current?.modRevision ?? 0) === wanted) return;
  throw RegistryErrors.REVISION_MISMATCH(
    `Instance "${name.id}" of service "${name.service}" is at revision ${current?.modRevision ?? 0}, not ${wanted}. Read it again, then decide.`,
    { extra: { revision: current?.modRevision ?? 0 } },
  );
}

export function notFound({ service, id, namespace }: InstanceName) {
  return RegistryErrors.INSTANCE_NOT_FOUND(`No instance "${id}" in service "${service}" of namespace "${namespace}".`);
}
