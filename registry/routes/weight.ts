/** The route that changes how large a part of the requests an instance receives. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { BODY_BYTES } from "#http";
import { Changed, WeightRequest } from "../api.ts";
import type { Registry } from "../registry.ts";
import { commanderOf, DEFAULT_NAMESPACE, InNamespace, InstanceParams, TAGS, WRITE } from "./request.ts";

export function weightRoute(untyped: FastifyInstance, registry: Registry): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.put(
    "/v1/services/:service/instances/:id/weight",
    {
      config: WRITE,
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags: TAGS,
        summary: "Set an instance's weight; the rest of its registration stays as it is",
        params: InstanceParams,
        querystring: InNamespace,
        body: WeightRequest,
        response: { 200: Changed },
      },
    },
    (request) => {
      const { params, body } = request;
      const { namespace = DEFAULT_NAMESPACE } = request.query;
      return registry.commands.setWeight({ ...params, namespace }, body.weight, commanderOf(request));
    },
  );
}
