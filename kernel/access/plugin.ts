/** Routes to issue, list and revoke tokens of the control API. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, principalOf } from "#http";
import type { Access } from "./access.ts";
import { IssuedToken, TokenList, TokenRequest } from "./api.ts";

export function accessPlugin(untyped: FastifyInstance, access: Access): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const manage = { action: "access:manage" } as const;
  const tags = ["access"];

  app.get(
    "/v1/tokens",
    { config: manage, schema: { tags, summary: "Tokens, without their secrets", response: { 200: TokenList } } },
    () => ({ tokens: access.list() }),
  );
  app.post(
    "/v1/tokens",
    {
      config: manage,
      bodyLimit: BODY_BYTES.command,
      schema: { tags, summary: "Issue a token", body: TokenRequest, response: { 201: IssuedToken } },
    },
    async (request, reply) =>
      reply
        .code(201)
        .header("cache-control", "no-store")
        .send(await access.issue(request.body, principalOf(request).name)),
  );
  app.delete(
    "/v1/tokens/:id",
    {
      config: manage,
      schema: {
        tags,
        summary: "Revoke a token",
        params: Type.Object({ id: Type.String({ pattern: "^[0-9a-f]{16}$" }) }),
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await access.revoke(request.params.id, principalOf(request).name);
      return reply.code(204).send(null);
    },
  );
}
