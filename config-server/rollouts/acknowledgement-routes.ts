/** Routes of acknowledgements: send one, and list them by subscriber. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, principalOf } from "#http";
import { Acknowledge, AcknowledgementList, AcknowledgeParams, SetName } from "../api.ts";
import type { Acknowledgements } from "./acknowledgements.ts";

export function acknowledgementRoutes(untyped: FastifyInstance, acknowledgements: Acknowledgements): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const tags = ["config"];

  app.put(
    "/v1/config/:namespace/:app/:profile/acknowledgements/:subscriber",
    {
      config: { action: "config:acknowledge" },
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags,
        summary: "Acknowledge that a release was applied, or report why it could not be",
        params: AcknowledgeParams,
        body: Acknowledge,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { subscriber, ...name } = request.params;
      await acknowledgements.record(name, subscriber, { ...request.body, by: principalOf(request).id });
      return reply.code(204).send(null);
    },
  );

  app.get(
    "/v1/config/:namespace/:app/:profile/acknowledgements",
    {
      config: { action: "config:read", perItem: true },
      schema: {
        tags,
        summary: "Which subscriber runs which release",
        params: SetName,
        response: { 200: AcknowledgementList },
      },
    },
    ({ params }) => acknowledgements.list(params),
  );
}
