/** The namespaces in use. A namespace begins with its first service or config set, so no module alone knows all of them. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import type { ConfigServer } from "#config-server";
import { principalOf } from "#http";
import type { Registry } from "#registry";

const NamespaceList = Type.Object({
  namespaces: Type.Array(Type.String(), {
    description: "By name, without those that the caller's token cannot access.",
  }),
});

export function namespacesPlugin(
  untyped: FastifyInstance,
  { registry, config }: { readonly registry: Registry; readonly config: ConfigServer },
): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  app.get(
    "/v1/namespaces",
    {
      config: { action: "registry:read", about: "nothing" },
      schema: { tags: ["registry"], summary: "List the namespaces in use", response: { 200: NamespaceList } },
    },
    (request) => {
      const limit = principalOf(request).limits?.namespaces;
      const used = new Set([...registry.catalog.services(), ...config.sets()].map(({ namespace }) => namespace));
      const namespaces = [...used].filter((name) => limit === undefined || limit.includes(name) || limit.includes("*"));
      return { namespaces: namespaces.sort() };
    },
  );
}
