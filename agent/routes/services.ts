/** Routes of this host's services: registering, changing and listing them. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, principalOf, requireWithin, whileConnected, within } from "#http";
import { Drain, DRAIN_SECONDS_MAX, LifecycleRequest } from "#registry/api";
import { HealthHistory, Id, LocalHealth, LocalServices, Report, ServiceRequest } from "../api.ts";
import { DEFAULT_NAMESPACE } from "../definitions.ts";
import type { HeldServices } from "../held-services.ts";
import { OPEN, requireService, ServiceParams, TAGS } from "./request.ts";

export function serviceRoutes(app: FastifyInstance, services: HeldServices): void {
  registrationRoutes(app, services);
  stateRoutes(app, services);
  listingRoutes(app, services);
}

function registrationRoutes(untyped: FastifyInstance, services: HeldServices): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  app.put(
    "/v1/agent/services/:id",
    {
      config: OPEN,
      bodyLimit: BODY_BYTES.document,
      schema: { tags: TAGS, summary: "Register a service of this host", params: ServiceParams, body: ServiceRequest },
    },
    async (request, reply) => {
      const { params, body } = request;
      const { namespace = DEFAULT_NAMESPACE, name } = body;
      requireWithin(principalOf(request), "services", { namespace, name });
      requireService(request, services, params.id);
      services.register(params.id, body);
      return reply.code(204).send();
    },
  );
  app.delete(
    "/v1/agent/services/:id",
    {
      config: OPEN,
      schema: {
        tags: TAGS,
        summary: "Deregister a service of this host, at once or after a drain",
        params: ServiceParams,
        querystring: Type.Object(
          {
            drain: Type.Optional(
              Type.Integer({
                minimum: 0,
                maximum: DRAIN_SECONDS_MAX,
                description: "Drain first, until every subscriber has seen it or for at most this many seconds.",
              }),
            ),
          },
          { additionalProperties: false },
        ),
        response: { 200: Type.Pick(Drain, ["seen", "waitingFor"]), 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { drain = 0 } = request.query;
      const { params } = request;
      requireService(request, services, params.id);
      if (drain > 0) return services.drainAndDeregister(params.id, drain * 1000, whileConnected(reply));
      services.deregister(params.id);
      return reply.code(204).send(null);
    },
  );
}

function stateRoutes(untyped: FastifyInstance, services: HeldServices): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  app.put(
    "/v1/agent/services/:id/lifecycle",
    {
      config: OPEN,
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags: TAGS,
        summary: "Set a service's lifecycle: take it out of rotation, or put it back",
        params: ServiceParams,
        body: Type.Pick(LifecycleRequest, ["lifecycle"], { additionalProperties: false }),
      },
    },
    async (request, reply) => {
      const { params, body } = request;
      requireService(request, services, params.id);
      services.setLifecycle(params.id, body.lifecycle);
      return reply.code(204).send();
    },
  );
  app.put(
    "/v1/agent/services/:id/checks/:check",
    {
      config: OPEN,
      bodyLimit: BODY_BYTES.note,
      schema: {
        tags: TAGS,
        summary: "Report the verdict of a TTL check",
        params: Type.Object({ id: Id, check: Id }),
        body: Report,
      },
    },
    async (request, reply) => {
      const { params } = request;
      const { status, output = "" } = request.body;
      requireService(request, services, params.id);
      services.report(params.id, params.check, { status, output });
      return reply.code(204).send();
    },
  );
}

function listingRoutes(untyped: FastifyInstance, services: HeldServices): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  app.get(
    "/v1/agent/services",
    {
      config: OPEN,
      schema: {
        tags: TAGS,
        summary: "List the services that this host claims, and whether each is in sync with the control plane",
        response: { 200: LocalServices },
      },
    },
    (request) => ({ services: services.list().filter(maySee(request)) }),
  );
  app.get(
    "/v1/agent/health",
    {
      config: OPEN,
      schema: { tags: TAGS, summary: "List every check with its last output", response: { 200: LocalHealth } },
    },
    (request) => ({ services: services.health().filter(maySee(request)) }),
  );
  app.get(
    "/v1/agent/services/:id/health/history",
    {
      config: OPEN,
      schema: {
        tags: TAGS,
        summary: "Get a service's health over the last 24 hours, as this agent saw it",
        params: ServiceParams,
        response: { 200: HealthHistory },
      },
    },
    (request) => {
      requireService(request, services, request.params.id);
      return services.healthHistory(request.params.id);
    },
  );
}

/** Whether the caller's token is for a service. */
function maySee(request: FastifyRequest): (one: { service: string }) => boolean {
  const { limits } = principalOf(request);
  return ({ service }) => within(limits?.services, service);
}
