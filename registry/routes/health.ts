/** Routes of an instance's health: its checks, their history, and reports on them. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { worstOf } from "#health/core";
import { BODY_BYTES } from "#http";
import {
  Changed,
  Health,
  HealthHistory,
  HISTORY_HOURS_MAX,
  HISTORY_INSTANCES_MAX,
  Id,
  Name,
  Report,
  ServiceHistory,
} from "../api.ts";
import type { Registry } from "../registry.ts";
import {
  commanderOf,
  DEFAULT_NAMESPACE,
  InNamespace,
  InstanceParams,
  READ,
  revisionOf,
  TAGS,
  unknownService,
  WRITE,
} from "./request.ts";

/** Instances of a page when the caller does not say. */
const HISTORY_INSTANCES = 200;

const HistoryQuery = Type.Object(
  {
    ...InNamespace.properties,
    hours: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: HISTORY_HOURS_MAX,
        default: HISTORY_HOURS_MAX,
        description: "Hours back from now.",
      }),
    ),
    instance: Type.Optional(Type.Unsafe<string>({ ...Id, description: "Only this instance." })),
    after: Type.Optional(
      Type.Unsafe<string>({ ...Id, description: "Only instances after this id, to read the next page." }),
    ),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: HISTORY_INSTANCES_MAX,
        default: HISTORY_INSTANCES,
        description: "The most instances.",
      }),
    ),
  },
  { additionalProperties: false },
);

/** The health of a service over time. */
export function historyRoute(untyped: FastifyInstance, registry: Registry): void {
  untyped.withTypeProvider<TypeBoxTypeProvider>().get(
    "/v1/services/:service/health-history",
    {
      config: READ,
      schema: {
        tags: TAGS,
        summary: "Read how the health of a service's instances changed, including instances that have gone",
        params: Type.Object({ service: Name }),
        querystring: HistoryQuery,
        response: { 200: ServiceHistory },
      },
    },
    async ({ params: { service }, query }) => {
      const { namespace = DEFAULT_NAMESPACE, hours = HISTORY_HOURS_MAX, limit = HISTORY_INSTANCES } = query;
      const { after, instance } = query;
      revisionOf(registry);
      const history = await registry.past.read({ namespace, service }, { hours, after, limit, instance });
      const { catalog } = registry;
      const isKnown = history.instances.length > 0 || catalog.size(namespace, service) > 0;
      if (!isKnown && after === undefined && instance === undefined && !catalog.hasPolicy(namespace, service))
        throw unknownService({ namespace, service });
      return history;
    },
  );
}

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
