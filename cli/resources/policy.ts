/** Kind Policy: the rules of a policy by its name. */
import { PolicyBody } from "#access/api";
import { AppError } from "#base";
import type { ResourceKind } from "./kind.ts";

export const accessPolicy: ResourceKind = {
  kind: "Policy",
  description: "A policy: rules that allow or deny actions on resources. Tokens and bindings have it by its name.",
  metadata: ["name"],
  schema: async () => PolicyBody,
  idOf: ({ name }) => name,
  async read(client, { name }) {
    try {
      const { description, rules, revision = 0 } = await client.access.policy(name);
      return { spec: { ...(description === undefined ? {} : { description }), rules }, cas: revision };
    } catch (error) {
      if (error instanceof AppError && error.code === "ACCESS_POLICY_NOT_FOUND") return undefined;
      throw error;
    }
  },
  async write(client, { metadata: { name }, spec, live }) {
    await client.access.setPolicy(name, spec as PolicyBody, { ifRevision: Number(live?.cas ?? 0) });
  },
  async remove(client, { metadata: { name }, live }) {
    if (live) await client.access.deletePolicy(name, { ifRevision: Number(live.cas) });
  },
};
