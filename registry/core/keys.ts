/**
 * The registry's keys in the store. Requests are validated before a key is built, so no name contains a slash, and a key
 * splits into its names without escaping.
 */
export const REGISTRY_PREFIX = "/registry/";
const INSTANCES = `${REGISTRY_PREFIX}instances/`;
const VERDICTS = `${REGISTRY_PREFIX}verdicts/`;
const POLICIES = `${REGISTRY_PREFIX}policies/`;
/** Under the prefix of the catalog, so that a change and its history arrive in one revision. */
const HISTORY = `${REGISTRY_PREFIX}history/`;
/** Sorts before every character of a name, so histories are in order of id: those of "a" precede those of "a-1". */
const STAMP_SEPARATOR = ",";
/** Digits of a stamp in base 36, so that keys are in order of time. */
const STAMP_CHARS = 11;
/** Outside the prefix of the catalog, since only registrations read tombstones. */
const TOMBSTONES = "/tombstones/";

export interface InstanceName {
  readonly namespace: string;
  readonly service: string;
  readonly id: string;
}

export function instanceKey({ namespace, service, id }: InstanceName): string {
  return `${INSTANCES}${namespace}/${service}/${id}`;
}

/** The prefix of the verdicts of all checks of one instance. */
export function verdictsPrefix({ namespace, service, id }: InstanceName): string {
  return `${VERDICTS}${namespace}/${service}/${id}/`;
}

export function verdictKey(name: InstanceName, check: string): string {
  return `${verdictsPrefix(name)}${check}`;
}

export interface ServiceName {
  readonly namespace: string;
  readonly service: string;
}

export function policyKey({ namespace, service }: ServiceName): string {
  return `${POLICIES}${namespace}/${service}`;
}

/** One transition in the history of an instance's health, which outlives the instance. */
export function historyKey(name: InstanceName, stamp: number): string {
  return `${historyPrefix(name)}${name.id}${STAMP_SEPARATOR}${stamp.toString(36).padStart(STAMP_CHARS, "0")}`;
}

export function historyPrefix({ namespace, service }: ServiceName): string {
  return `${HISTORY}${namespace}/${service}/`;
}

/** The prefix of the history of one instance. */
export function instanceHistoryPrefix(name: InstanceName): string {
  return `${historyPrefix(name)}${name.id}${STAMP_SEPARATOR}`;
}

/** A key after the whole history of an instance, and before that of the next one. */
export function afterHistoryOf(name: InstanceName): string {
  return `${instanceHistoryPrefix(name)}~`;
}

/** The instance and the stamp of a history's key; undefined for other keys. */
export function parseHistoryKey(key: string): (InstanceName & { readonly stamp: number }) | undefined {
  if (!key.startsWith(HISTORY)) return undefined;
  const [, , , namespace, service, entry = "", ...rest] = key.split("/");
  const at = entry.indexOf(STAMP_SEPARATOR);
  if (!namespace || !service || at < 1 || rest.length > 0) return undefined;
  const id = entry.slice(0, at);
  const stamp = Number.parseInt(entry.slice(at + 1), 36);
  return Number.isSafeInteger(stamp) ? { namespace, service, id, stamp } : undefined;
}

/** The last claim on an instance that was withdrawn. */
export function tombstoneKey({ namespace, service, id }: InstanceName): string {
  return `${TOMBSTONES}${namespace}/${service}/${id}`;
}

export type RegistryKey =
  | { readonly kind: "policy"; readonly name: ServiceName }
  | { readonly kind: "instance"; readonly name: InstanceName }
  | { readonly kind: "verdict"; readonly name: InstanceName; readonly check: string };

/** The meaning of a key; undefined for keys of a later version, which an older reader must ignore. */
export function parseRegistryKey(key: string): RegistryKey | undefined {
  if (key.startsWith(HISTORY)) return undefined;
  const [, , kind, namespace, service, id, check, ...rest] = key.split("/");
  if (!namespace || !service || rest.length > 0) return undefined;
  if (kind === "policies" && id === undefined) return { kind: "policy", name: { namespace, service } };
  if (!id) return undefined;
  const name = { namespace, service, id };
  if (kind === "instances" && check === undefined) return { kind: "instance", name };
  if (kind === "verdicts" && check) return { kind: "verdict", name, check };
  return undefined;
}
