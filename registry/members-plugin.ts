/** The route that lists the members of the control plane. */
import type { FastifyInstance } from "fastify";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import { MemberList } from "./api.ts";
import type { Members } from "./members.ts";

export function membersPlugin(untyped: FastifyInstance, members: Members): void {
  untyped.withTypeProvider<TypeBoxTypeProvider>().get(
    "/v1/members",
    {
      config: { action: "registry:read" },
      schema: {
        tags: ["registry"],
        summary: "Members of the control plane that are alive",
        response: { 200: MemberList },
      },
    },
    () => ({ members: members.list().map((id) => ({ id, self: id === members.id })) }),
  );
}
