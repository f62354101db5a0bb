/** The principal of a command, and the instances that it may change. */
import { RegistryErrors } from "../../api.ts";
import type { InstanceName } from "../keys.ts";
import type { InstanceRecord } from "../record.ts";

/** The caller's principal, which no field of a request can set. */
export interface Commander {
  readonly id: string;
  /** Whether it may change instances of other principals: an operator, or the servers themselves. */
  readonly overrides: boolean;
}

/** The servers, for evictions, ended drains and verdicts of their own probes. */
export const SERVERS: Commander = Object.freeze({ id: "internal:servers", overrides: true });

/**
 * An instance belongs to the principal that registered it, until it is deregistered or its session ends.
 * @throws REGISTRY_OWNED_BY_ANOTHER when the id of a registration is another principal's
 */
export function requireOwnId({ id, service }: InstanceName, current: InstanceRecord | undefined, by: Commander): void {
  if (!current || isOwner(current, by)) return;
  throw RegistryErrors.OWNED_BY_ANOTHER(
    `Instance "${id}" of service "${service}" belongs to "${current.registeredBy}", not to "${by.id}". Use another id, or have it deregistered first.`,
  );
}

/** @throws REGISTRY_NOT_OWNER */
export function requireOwner({ id, service }: InstanceName, current: InstanceRecord, by: Commander): void {
  if (isOwner(current, by)) return;
  throw RegistryErrors.NOT_OWNER(
    `Instance "${id}" of service "${service}" belongs to "${current.registeredBy}", not to "${by.id}". Only its owner or an operator may change it.`,
  );
}

function isOwner({ registeredBy }: InstanceRecord, { id, overrides }: Commander): boolean {
  return overrides || registeredBy === undefined || registeredBy === id;
}
