/** Routes of sessions, which instances are attached to. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, type Principal, principalOf } from "#http";
import { Session, SessionRequest } from "../api.ts";
import type { Registry } from "../registry.ts";
import { TAGS } from "./request.ts";

const SessionParams = Type.Object({ session: Type.String({ minLength: 1, maxLength: 128 }) });

/** Opens sessions for callers. */
export interface SessionOpener {
  open(principal: Principal, ttlSeconds: number): Promise<Session>;
}

export function sessionRoutes(
  untyped: FastifyInstance,
  { registry, sessions }: { registry: Registry; sessions: SessionOpener },
): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const config = { action: "registry:write", about: "nothing" } as const;

  app.post(
    "/v1/sessions",
    {
      config,
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags: TAGS,
        summary: "Open a session to attach instances to",
        body: SessionRequest,
        response: { 201: Session },
      },
    },
    async (request, reply) => reply.code(201).send(await sessions.open(principalOf(request), request.body.ttlSeconds)),
  );

  app.put(
    "/v1/sessions/:session/heartbeat",
    {
      config,
      schema: {
        tags: TAGS,
        summary: "Renew a session; costs no revision",
        params: SessionParams,
        response: { 204: Type.Null() },
      },
    },
    async ({ params }, reply) => {
      await registry.commands.heartbeat(params.session);
      return reply.code(204).send(null);
    },
  );

  app.delete(
    "/v1/sessions/:session",
    {
      config,
      schema: {
        tags: TAGS,
        summary: "End a session and remove everything attached to it",
        params: SessionParams,
        response: { 204: Type.Null() },
      },
    },
    async ({ params }, reply) => {
      await registry.commands.closeSession(params.session);
      return reply.code(204).send(null);
    },
  );
}
