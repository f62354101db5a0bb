/**
 * Commands become transactions. A command and the current entries of its keys go in; the writes, or an error, come out.
 * A command that would change nothing writes nothing, so repeating it costs no revision and wakes no watcher.
 */
import { decodeJson, encodeJson } from "#base";
import { RegistryErrors } from "../../api.ts";
import type { CatalogEntry } from "../catalog.ts";
import type { InstanceName } from "../keys.ts";
import type { InstanceRecord } from "../record.ts";

/** The entries that a command reads, by key. A key without an entry is absent. */
export type KnownEntries = ReadonlyMap<string, CatalogEntry>;

/** Decodes the record of an instance's entry, or takes it from where it is decoded already. */
export type RecordOf = (name: InstanceName, entry: CatalogEntry) => InstanceRecord;

export const decodedRecord: RecordOf = (_name, { value }) => decodeJson<InstanceRecord>(value);

export type RegistryWrite =
  | { readonly type: "put"; readonly key: string; readonly value: Uint8Array; readonly lease?: string }
  | { readonly type: "delete"; readonly key: string }
  | { readonly type: "delete"; readonly prefix: string };

export interface CommandPlan<Result> {
  readonly writes: readonly RegistryWrite[];
  readonly result: Result;
}

export function put(key: string, value: unknown, lease: string | undefined): RegistryWrite {
  return { type: "put", key, value: encodeJson(value), ...(lease === undefined ? {} : { lease }) };
}

/** The caller's condition on the instance's revision, where 0 means "does not exist". @throws REGISTRY_REVISION_MISMATCH */
export function requireRevision(
  name: InstanceName,
  current: { readonly modRevision: number } | undefined,
  wanted: number | undefined,
): void {
  if (wanted === undefined || (current?.modRevision ?? 0) === wanted) return;
  throw RegistryErrors.REVISION_MISMATCH(
    `Instance "${name.id}" of service "${name.service}" is at revision ${current?.modRevision ?? 0}, not ${wanted}. Read it again before you change it.`,
    { extra: { revision: current?.modRevision ?? 0 } },
  );
}

export function instanceNotFound({ service, id, namespace }: InstanceName) {
  return RegistryErrors.INSTANCE_NOT_FOUND(`No instance "${id}" in service "${service}" of namespace "${namespace}".`);
}
