/** Kind ServicePolicy: checks, panic threshold, fallback and subsets of a service. */
import { AppError, canonicalJson } from "#base";
import { ServicePolicy } from "#registry/api";
import type { ControlCalls } from "#client/light";
import { CliErrors } from "../errors.ts";
import type { LiveResource, Metadata, ResourceKind } from "./kind.ts";

const nameOf = ({ namespace, name }: Metadata) => ({ namespace, service: name });

async function read(client: ControlCalls, metadata: Metadata): Promise<LiveResource | undefined> {
  try {
    const { policy } = await client.registry.service(nameOf(metadata));
    return Object.keys(policy).length === 0 ? undefined : { spec: policy, cas: canonicalJson(policy) };
  } catch (error) {
    if (error instanceof AppError && error.code === "REGISTRY_SERVICE_NOT_FOUND") return undefined;
    throw error;
  }
}

/** A policy has no revision to compare at the server, so it is read again right before the change. @throws CLI_CONFLICT */
async function requirePlanned(client: ControlCalls, metadata: Metadata, live: LiveResource | undefined): Promise<void> {
  if ((await read(client, metadata))?.cas !== live?.cas) {
    throw CliErrors.CONFLICT("The policy has changed since it was planned. Plan again.");
  }
}

export const servicePolicy: ResourceKind = {
  kind: "ServicePolicy",
  description: "The policy of a service: default checks, panic threshold, fallback, subsets, and hints for gateways.",
  metadata: ["name"],
  schema: async () => ServicePolicy,
  idOf: ({ namespace, name }) => `${namespace}/${name}`,
  read,
  async write(client, { metadata, spec, live }) {
    await requirePlanned(client, metadata, live);
    await client.registry.setPolicy(nameOf(metadata), spec as ServicePolicy);
  },
  async remove(client, { metadata, live }) {
    await requirePlanned(client, metadata, live);
    await client.registry.deletePolicy(nameOf(metadata));
  },
};
