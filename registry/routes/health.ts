/** Routes of an instance's health: its checks, their history, and reports on them. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { worstOf } from "#health/core";
import { BODY_BYTES } from "#http";
import { Changed, Health, HealthHistory, Id, Report } from "../api.ts";
import type { Registry } from "../registry.ts";
import { commanderOf, DEFAULT_NAMESPACE, InNamespace, InstanceParams, READ, TAGS, WRITE } from "./request.ts";

export function healthRoutes(untyped: FastifyInstance, registry: Registry): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.get(
    "/v1/services/:service/instances/:id/health",
    {
      config: READ,
      schema: {
        tags: TAGS,
        summary: "Read an instance's checks with their last output",
        params: InstanceParams,
        querystring: InNamespace,
        response: { 200: Health },
      },
    },
    ({ params, query: { namespace = DEFAULT_NAMESPACE } }) => {
      const checks = registry.health({ ...params, namespace });
      return { status: worstOf(checks.map((check) => check.status)), checks };
    },
  );

  app.get(
    "/v1/services/:service/instances/:id/health/history",
    {
      config: READ,
      schema: {
        tags: TAGS,
        summary: "Read what this member observed of an instance's health within the last day",
        params: InstanceParams,
        querystring: InNamespace,
        response: { 200: HealthHistory },
      },
    },
    ({ params, query: { namespace = DEFAULT_NAMESPACE } }) => registry.healthHistory({ ...params, namespace }),
  );

  app.put(
    "/v1/services/:service/instances/:id/checks/:check",
    {
      config: WRITE,
      bodyLimit: BODY_BYTES.note,
      schema: {
        tags: TAGS,
        summary: "Report the verdict on a check; for a TTL check, this is also its sign of life",
        params: Type.Object({ ...InstanceParams.properties, check: Id }),
        querystring: InNamespace,
        body: Report,
        response: { 200: Changed },
      },
    },
    (request) => {
      const { check, ...name } = request.params;
      const { namespace = DEFAULT_NAMESPACE } = request.query;
      return registry.commands.report({ ...name, namespace }, check, { ...request.body, by: commanderOf(request) });
    },
  );
}
