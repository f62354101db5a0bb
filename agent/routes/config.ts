/** Routes of configs and instances that the agent follows at the control plane. They also answer while it is away. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { Acknowledge, AcknowledgeParams, WaitQuery } from "#config-server/api";
import { BODY_BYTES, IF_NONE_MATCH_CHARS_MAX, parseIfNoneMatch, whileConnected } from "#http";
import type { LocalAgent } from "../agent.ts";
import { EffectiveConfig, Name, Namespace, Resolved } from "../api.ts";
import { DEFAULT_NAMESPACE } from "../definitions.ts";
import { OPEN, requireApp, sendKnown, TAGS } from "./request.ts";

const SetParams = Type.Object({ namespace: Name, app: Name, profile: Name });

/** `closing` aborts when the agent stops, since a stop must not wait for long polls. */
export function configRoutes(app: FastifyInstance, agent: LocalAgent, closing: AbortSignal): void {
  effectiveRoute(app, agent, closing);
  confirmationRoutes(app, agent);
  resolveRoute(app, agent);
}

function effectiveRoute(untyped: FastifyInstance, agent: LocalAgent, closing: AbortSignal): void {
  untyped.withTypeProvider<TypeBoxTypeProvider>().get(
    "/v1/agent/config/:namespace/:app/:profile",
    {
      config: OPEN,
      schema: {
        tags: TAGS,
        summary:
          "Get an effective config, also while the server is away; with If-None-Match and wait, a long poll that answers 304",
        params: SetParams,
        querystring: Type.Object(WaitQuery, { additionalProperties: false }),
        headers: Type.Object({ "if-none-match": Type.Optional(Type.String({ maxLength: IF_NONE_MATCH_CHARS_MAX })) }),
        response: { 200: EffectiveConfig, 304: Type.Null() },
      },
    },
    async (request, reply) => {
      const { params, headers } = request;
      const { wait = 0 } = request.query;
      requireApp(request, params);
      const { state, tag, isKnown } = await agent.configOtherThan(params, {
        known: parseIfNoneMatch(headers["if-none-match"]),
        waitMs: wait * 1000,
        signal: AbortSignal.any([whileConnected(reply), closing]),
      });
      void reply.header("etag", `"${tag}"`).header("cache-control", "no-store");
      return isKnown ? reply.code(304).send(null) : sendKnown(reply, state);
    },
  );
}

function confirmationRoutes(untyped: FastifyInstance, agent: LocalAgent): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  app.post(
    "/v1/agent/config/:namespace/:app/:profile/accept",
    {
      config: OPEN,
      schema: {
        tags: TAGS,
        summary: "Accept the server's older config, when its store was lost or restored on purpose",
        params: SetParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { params } = request;
      requireApp(request, params);
      agent.acceptOlder(params);
      return reply.code(204).send(null);
    },
  );
  app.put(
    "/v1/agent/config/:namespace/:app/:profile/acknowledgements/:subscriber",
    {
      config: OPEN,
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags: TAGS,
        summary:
          "Acknowledge that a program on this host has applied a release, or why it could not; forwarded once the server answers",
        params: AcknowledgeParams,
        body: Acknowledge,
        response: { 202: Type.Null() },
      },
    },
    async (request, reply) => {
      const { subscriber, ...name } = request.params;
      requireApp(request, name);
      agent.acknowledge(name, subscriber, request.body);
      return reply.code(202).send(null);
    },
  );
}

function resolveRoute(untyped: FastifyInstance, agent: LocalAgent): void {
  untyped.withTypeProvider<TypeBoxTypeProvider>().get(
    "/v1/agent/resolve/:service",
    {
      config: OPEN,
      schema: {
        tags: TAGS,
        summary: "List the instances of a service from this host, also while the server is away",
        params: Type.Object({ service: Name }),
        querystring: Type.Object(
          {
            namespace: Type.Optional(Namespace),
            healthy: Type.Optional(
              Type.Boolean({ description: "true: only instances to send requests to · false: only the others." }),
            ),
          },
          { additionalProperties: false },
        ),
        response: { 200: Resolved },
      },
    },
    async ({ params, query: { namespace = DEFAULT_NAMESPACE, healthy } }, reply) =>
      sendKnown(reply, await agent.resolve({ namespace, service: params.service }, healthy)),
  );
}
