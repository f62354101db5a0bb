/** Routes that list the browsers and devices that are signed in, and end one. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { principalOf } from "#http";
import type { Access } from "./access.ts";
import { SignInId, SignInSummaries } from "./api.ts";

export function signInListPlugin(untyped: FastifyInstance, access: Access): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const manage = { action: "access:manage", about: "nothing" } as const;
  const tags = ["access"];
  app.get(
    "/v1/sign-ins",
    {
      config: manage,
      schema: {
        tags,
        summary: "Browsers and devices that are signed in, the latest first",
        response: { 200: SignInSummaries },
      },
    },
    (request) => {
      const by = principalOf(request);
      return { signIns: access.signInDirectory.list(by, { sessionId: request.session?.id, tokenId: by.tokenId }) };
    },
  );
  app.delete(
    "/v1/sign-ins/:id",
    {
      config: manage,
      schema: {
        tags,
        summary: "End a sign-in at once",
        params: Type.Object({ id: SignInId }),
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await access.signInDirectory.end(request.params.id, principalOf(request));
      return reply.code(204).send(null);
    },
  );
}
