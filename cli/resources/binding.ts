/** Kind Binding: the policies of a person or a group of the identity provider. */
import { BindingBody } from "#access/api";
import { givenOnly } from "../options.ts";
import type { ResourceKind } from "./kind.ts";

export const accessBinding: ResourceKind = {
  kind: "Binding",
  description: "The policies of a person or a group. Its name is the subject: `group:NAME` or `user:NAME`.",
  metadata: ["name"],
  schema: async () => BindingBody,
  idOf: ({ name }) => name,
  async read(client, { name }) {
    const { bindings } = await client.access.bindings();
    const found = bindings.find(({ subject }) => subject === name);
    if (!found) return undefined;
    const { policies, namespaces, apps, services, revision } = found;
    return { spec: { policies, ...givenOnly({ namespaces, apps, services }) }, cas: revision };
  },
  async write(client, { metadata: { name }, spec, live }) {
    await client.access.setBinding(name, spec as BindingBody, { ifRevision: Number(live?.cas ?? 0) });
  },
  async remove(client, { metadata: { name }, live }) {
    if (live) await client.access.deleteBinding(name, { ifRevision: Number(live.cas) });
  },
};
