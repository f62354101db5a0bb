/** The route by which an agent takes service tokens for callers on its host. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { BODY_BYTES, principalOf, whileConnected } from "#http";
import type { Access } from "./access.ts";
import { ServiceToken, ServiceTokenRequest } from "./api.ts";

export function serviceTokenPlugin(untyped: FastifyInstance, access: Access): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  app.post(
    "/v1/service-tokens",
    {
      // The names in the body are limits of the new token, which are compared with the caller's own.
      config: { action: "identity:delegate", about: "nothing" },
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags: ["access"],
        summary: "Issue a short-lived token for a program on the agent's host, within the agent's own limits",
        body: ServiceTokenRequest,
        response: { 201: ServiceToken },
      },
    },
    async (request, reply) => {
      const { issued, revision } = await access.serviceTokens.issue(principalOf(request), request.body);
      // The token is accepted here before the answer, since its holder uses it at once.
      await access.waitFor(revision, whileConnected(reply));
      return reply.code(201).header("cache-control", "no-store").send(issued);
    },
  );
}
