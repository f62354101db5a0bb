/** The namespaces in use. A namespace begins with its first service or config set, so no module alone knows all of them. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import type { ConfigServer } from "#config-server";
import { maySee, principalOf } from "#http";
import type { Registry } from "#registry";

const NamespaceList = Type.Object({
  namespaces: Type.Array(Type.String(), {
    description: "By name, without those of which the caller sees nothing.",
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
      const principal = principalOf(request);
      const services = registry.catalog.services().filter((name) => maySee(principal, "registry:read", name));
      const sets = config.sets().filter((name) => maySee(principal, "config:read", name));
      return { namespaces: [...new Set([...services, ...sets].map(({ namespace }) => namespace))].sort() };
    },
  );
}
