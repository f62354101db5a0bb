/** Routes to issue, rotate, list and revoke tokens of the control API. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, principalOf } from "#http";
import type { Access } from "./access.ts";
import { aclPlugin } from "./acl-plugin.ts";
import { IssuedToken, TokenList, TokenRequest, TokenRotation } from "./api.ts";
import { bindingsPlugin, policiesPlugin } from "./policies-plugin.ts";
import { signInListPlugin } from "./sign-in-list-plugin.ts";

/** All routes of access, and the notes of when tokens are used. */
export function accessPlugin(app: FastifyInstance, access: Access): void {
  app.addHook("onRequest", (request, _reply, done) => {
    const tokenId = request.principal?.tokenId;
    if (tokenId !== undefined) access.uses.note(tokenId, request.ip);
    if (request.session) access.uses.note(request.session.id, request.ip);
    done();
  });
  tokenRoutes(app, access);
  policiesPlugin(app, access);
  bindingsPlugin(app, access);
  aclPlugin(app, access);
  signInListPlugin(app, access);
}

function tokenRoutes(untyped: FastifyInstance, access: Access): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  // The names in a body are what others get, so they are compared with the rights of the caller in the handler.
  const manage = { action: "access:manage", about: "nothing" } as const;
  const params = Type.Object({ id: Type.String({ pattern: "^[0-9a-f]{16}$" }) });
  const tags = ["access"];

  app.get(
    "/v1/tokens",
    { config: manage, schema: { tags, summary: "Tokens, without their secrets", response: { 200: TokenList } } },
    (request) => ({ tokens: access.tokens.list(principalOf(request)) }),
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
        .send(await access.tokens.issue(request.body, principalOf(request))),
  );
  app.post(
    "/v1/tokens/:id/rotations",
    {
      config: manage,
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags,
        summary: "Replace the secret of a token; the previous one stays valid for a while",
        params,
        body: TokenRotation,
        response: { 201: IssuedToken },
      },
    },
    async (request, reply) =>
      reply
        .code(201)
        .header("cache-control", "no-store")
        .send(await access.tokens.rotate(request.params.id, request.body, principalOf(request))),
  );
  app.delete(
    "/v1/tokens/:id",
    {
      config: manage,
      schema: {
        tags,
        summary: "Revoke a token",
        params,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await access.tokens.revoke(request.params.id, principalOf(request));
      return reply.code(204).send(null);
    },
  );
}
