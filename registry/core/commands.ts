/**
 * Commands become transactions. What is known of the keys in question and a command go in; the writes, or an error, come
 * out. Nothing is written when nothing would change, so repeating a command costs no revision and wakes nobody.
 */
import { canonicalJson, decodeJson, encodeJson } from "#base";
import { RegistryErrors, type Registration, type Report } from "../api.ts";
import type { CatalogEntry } from "./catalog.ts";
import { instanceKey, verdictKey, verdictsPrefix, type InstanceName } from "./keys.ts";
import { recordOf, type InstanceRecord, type VerdictRecord } from "./record.ts";
import type { StoredCheck } from "./stored-check.ts";

export type Known = ReadonlyMap<string, CatalogEntry>;

export type Write =
  | { readonly type: "put"; readonly key: string; readonly value: Uint8Array; readonly lease?: string }
  | { readonly type: "delete"; readonly key: string }
  | { readonly type: "delete"; readonly prefix: string };

export interface Plan<Result> {
  readonly writes: readonly Write[];
  readonly result: Result;
}

export interface Register {
  readonly name: InstanceName;
  readonly registration: Registration;
  /** The caller's condition: the modRevision it knows, 0 for "not there yet". */
  readonly ifRevision: number | undefined;
}

/** @throws REGISTRY_REVISION_MISMATCH, REGISTRY_CHECK_INVALID */
export function registerInstance(
  known: Known,
  { name, registration, ifRevision }: Register,
): Plan<{ created: boolean }> {
  const key = instanceKey(name);
  const current = known.get(key);
  checkRevision(name, current, ifRevision);
  const record = recordOf(registration);
  checkChecks(record.checks);
  const { session } = registration;
  const writes: Write[] = [];
  const same =
    current && current.lease === session && canonicalJson(decodeJson(current.value)) === canonicalJson(record);
  if (!same) writes.push(put(key, record, session));
  // Verdicts outlive a new registration of the same check, but not the check, and move to the new session with it.
  const previous = current && decodeJson<InstanceRecord>(current.value);
  for (const check of previous?.checks ?? []) {
    const verdict = known.get(verdictKey(name, check.id));
    if (!verdict) continue;
    const kept = record.checks.find((next) => canonicalJson(next) === canonicalJson(check));
    if (!kept) writes.push({ type: "delete", key: verdict.key });
    else if (check.type === "http" && verdict.lease !== session) {
      writes.push(put(verdict.key, decodeJson<VerdictRecord>(verdict.value), session));
    }
  }
  return { writes, result: { created: !current } };
}

/** @throws REGISTRY_INSTANCE_NOT_FOUND, REGISTRY_REVISION_MISMATCH */
export function deregisterInstance(known: Known, name: InstanceName, ifRevision: number | undefined): Plan<void> {
  const current = known.get(instanceKey(name));
  if (!current) throw notFound(name);
  checkRevision(name, current, ifRevision);
  return {
    writes: [
      { type: "delete", key: current.key },
      { type: "delete", prefix: verdictsPrefix(name) },
    ],
    result: undefined,
  };
}

/** @throws REGISTRY_INSTANCE_NOT_FOUND */
export function setDraining(known: Known, name: InstanceName, draining: boolean): Plan<void> {
  const current = known.get(instanceKey(name));
  if (!current) throw notFound(name);
  const record = decodeJson<InstanceRecord>(current.value);
  if (record.draining === draining) return { writes: [], result: undefined };
  return { writes: [put(current.key, { ...record, draining }, current.lease)], result: undefined };
}

export interface Verdict {
  readonly name: InstanceName;
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
  { name, check: id, status, nowMs, lease }: Verdict,
): Plan<{ keepAlive: string } | { grantSeconds: number } | undefined> {
  const instance = known.get(instanceKey(name));
  if (!instance) throw notFound(name);
  const check = decodeJson<InstanceRecord>(instance.value).checks.find((candidate) => candidate.id === id);
  if (!check) {
    throw RegistryErrors.CHECK_NOT_FOUND(`Instance "${name.id}" of service "${name.service}" has no check "${id}".`);
  }
  const key = verdictKey(name, id);
  const current = known.get(key);
  const unchanged = current && decodeJson<VerdictRecord>(current.value).status === status;
  if (check.type === "http") {
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
