/** Routes of an instance's lifecycle: take it out of rotation, put it back, and follow its drain. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, whileConnected } from "#http";
import { Changed, Drain, DRAIN_SECONDS, LifecycleRequest } from "../api.ts";
import type { Drains } from "../drains.ts";
import type { Registry } from "../registry.ts";
import { commanderOf, DEFAULT_NAMESPACE, InNamespace, InstanceParams, READ, TAGS, Wait, WRITE } from "./request.ts";

export function lifecycleRoutes(
  untyped: FastifyInstance,
  { registry, drains }: { registry: Registry; drains: Drains },
): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.put(
    "/v1/services/:service/instances/:id/lifecycle",
    {
      config: WRITE,
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags: TAGS,
        summary: "Set an instance's lifecycle: take it out of rotation, or put it back",
        params: InstanceParams,
        querystring: InNamespace,
        body: LifecycleRequest,
        response: { 200: Changed },
      },
    },
    (request) => {
      const { params, body } = request;
      const { namespace = DEFAULT_NAMESPACE } = request.query;
      const { lifecycle, deadlineSeconds = DRAIN_SECONDS } = body;
      const options = { by: commanderOf(request), drainMs: deadlineSeconds * 1000 };
      return registry.commands.setLifecycle({ ...params, namespace }, lifecycle, options);
    },
  );

  app.get(
    "/v1/services/:service/instances/:id/drain",
    {
      config: READ,
      schema: {
        tags: TAGS,
        summary: "Read which subscribers have not seen a drain yet; can wait until all have",
        params: InstanceParams,
        querystring: Type.Object(
          { ...InNamespace.properties, wait: Type.Optional(Wait) },
          { additionalProperties: false },
        ),
        response: { 200: Drain },
      },
    },
    ({ params, query: { namespace = DEFAULT_NAMESPACE, wait = 0 } }, reply) =>
      drains.wait({ ...params, namespace }, wait * 1000, whileConnected(reply)),
  );
}
