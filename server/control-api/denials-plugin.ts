/** The route that lists refusals, for people who wonder why something does not work, and for people who look for attacks. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { DenialList } from "#authorization/api";
import type { Denials } from "./denials.ts";

export function denialsPlugin(untyped: FastifyInstance, denials: Denials): void {
  untyped.withTypeProvider<TypeBoxTypeProvider>().get(
    "/v1/acl/denials",
    {
      config: { action: "access:explain" },
      schema: {
        tags: ["access"],
        summary: "Refused requests, with the rule that decided",
        response: { 200: DenialList },
      },
    },
    () => ({ denials: denials.list() }),
  );
}
