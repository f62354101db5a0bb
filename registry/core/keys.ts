/**
 * Where the registry's facts lie in the store. Names are checked at the door and hold no slash, so a key splits back
 * into them without escaping.
 */
export const REGISTRY_PREFIX = "/registry/";
const INSTANCES = `${REGISTRY_PREFIX}instances/`;
const VERDICTS = `${REGISTRY_PREFIX}verdicts/`;

export interface InstanceName {
  readonly namespace: string;
  readonly service: string;
  readonly id: string;
}

export function instanceKey({ namespace, service, id }: InstanceName): string {
  return `${INSTANCES}${namespace}/${service}/${id}`;
}

/** The verdicts of all checks of one instance lie under this. */
export function verdictsPrefix({ namespace, service, id }: InstanceName): string {
  return `${VERDICTS}${namespace}/${service}/${id}/`;
}

export function verdictKey(name: InstanceName, check: string): string {
  return `${verdictsPrefix(name)}${check}`;
}

export type RegistryKey =
  | { readonly kind: "instance"; readonly name: InstanceName }
  | { readonly kind: "verdict"; readonly name: InstanceName; readonly check: string };

/** What a key is about; undefined for keys of a later version, which an older reader must not trip over. */
export function parseKey(key: string): RegistryKey | undefined {
  const [, , kind, namespace, service, id, check, ...rest] = key.split("/");
  if (!namespace || !service || !id || rest.length > 0) return undefined;
  const name = { namespace, service, id };
  if (kind === "instances" && check === undefined) return { kind: "instance", name };
  if (kind === "verdicts" && check) return { kind: "verdict", name, check };
  return undefined;
}
