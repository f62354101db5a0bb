/**
 * Kind Instance: an instance that stays until it is deregistered. The server does not return the settings of its checks, so the hash of
 * the spec is a field of its metadata, and a changed check is noticed, too.
 */
import { createHash } from "node:crypto";
import { AppError, canonicalJson } from "#base";
import { type Instance, Registration } from "#registry/api";
import { CliErrors } from "../errors.ts";
import type { Metadata, ResourceKind } from "./kind.ts";

/** The field of the metadata with the hash. */
const APPLIED = "posthouse-applied";
/** Characters of the hash: enough that no two specs of one instance share them. */
const HASH_CHARS = 16;

const nameOf = ({ namespace, service = "", name }: Metadata) => ({ namespace, service, id: name });

/** The fields of a registration that a reader sees. */
function visible(instance: Instance | Registration): object {
  const { address, port, protocol, ports, tags, metadata, weight, version, zone } = instance;
  return JSON.parse(
    JSON.stringify({ address, port, protocol, ports, tags, metadata, weight, version, zone }),
  ) as object;
}

export const staticInstance: ResourceKind = {
  kind: "Instance",
  description: "A registered instance that no agent manages. It stays until it is deregistered.",
  metadata: ["name", "service"],
  schema: async () => {
    const {
      session: _session,
      owner: _owner,
      incarnation: _incarnation,
      verdicts: _verdicts,
      lifecycle: _lifecycle,
      ...properties
    } = Registration.properties;
    return { ...Registration, properties };
  },
  idOf: ({ namespace, service, name }) => `${namespace}/${service}/${name}`,
  async resolve(given) {
    const spec = given as Registration;
    const hash = createHash("sha256").update(canonicalJson(spec)).digest("hex").slice(0, HASH_CHARS);
    return { ...spec, metadata: { ...spec.metadata, [APPLIED]: hash } };
  },
  async read(client, metadata) {
    try {
      const instance = await client.registry.instance(nameOf(metadata));
      return { spec: visible(instance), cas: instance.modRevision };
    } catch (error) {
      if (error instanceof AppError && error.status === 404) return undefined;
      throw error;
    }
  },
  comparable: (spec) => visible(spec as Registration),
  async write(client, { metadata, spec, live }) {
    await client.registry.register(nameOf(metadata), spec as Registration, { ifRevision: Number(live?.cas ?? 0) });
  },
  async remove(client, { metadata, live }) {
    // A deregistration takes no revision, so the instance is read again right before it.
    const { modRevision } = await client.registry.instance(nameOf(metadata));
    if (modRevision !== live?.cas)
      throw CliErrors.CONFLICT("The instance has changed since it was planned. Plan again.");
    await client.registry.deregister(nameOf(metadata));
  },
};
