/** Kind EnvironmentRules: whether the releases of a namespace require a review, and their limits. */
import { Rules } from "#config-server/api";
import type { Metadata, ResourceKind } from "./kind.ts";

/** The rules of a namespace that has none. */
const NO_RULES: Rules = { review: "optional" };

export const environmentRules: ResourceKind = {
  kind: "EnvironmentRules",
  description: "Rules for every release of a namespace, which is the name of the resource.",
  metadata: ["name"],
  schema: async () => Rules,
  idOf: ({ name }: Metadata) => name,
  async read(client, { name }) {
    const { rules, revision } = await client.config.rules(name);
    return revision === 0 ? undefined : { spec: rules, cas: revision };
  },
  async write(client, { metadata: { name }, spec, live }) {
    await client.config.setRules(name, spec as Rules, { ifRevision: Number(live?.cas ?? 0) });
  },
  async remove(client, { metadata: { name }, live }) {
    await client.config.setRules(name, NO_RULES, { ifRevision: Number(live?.cas ?? 0) });
  },
};
