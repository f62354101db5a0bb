/** The registry's routes. Translates, decides nothing. */
import type { FastifyInstance } from "fastify";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { worstOf } from "#health/core";
import { HttpErrors, lastEventId } from "#http";
import {
  Changed,
  CheckStatus,
  Draining,
  Health,
  Id,
  Instance,
  InstanceList,
  Name,
  Namespace,
  Registered,
  RegistryErrors,
  Registration,
  Report,
  ServiceList,
  Session,
  SessionRequest,
} from "./api.ts";
import { namespaceTopic, type Registry, serviceTopic } from "./registry.ts";

/** Services that one watch may name; more watch the namespace. */
const SERVICES_PER_WATCH_MAX = 256;

const InNamespace = Type.Object({ namespace: Type.Optional(Namespace) }, { additionalProperties: false });
const InstanceParams = Type.Object({ service: Name, id: Id });
const Conditions = Type.Object({
  "if-match": Type.Optional(Type.String({ description: 'Only if its modRevision is this: `"42"`.' })),
  "if-none-match": Type.Optional(Type.String({ description: "`*`: only if it is not there yet." })),
});
const SessionParams = Type.Object({ session: Type.String({ minLength: 1, maxLength: 128 }) });
const DEFAULT_NAMESPACE = "default";

export function registryPlugin(untyped: FastifyInstance, registry: Registry): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const read = { action: "registry:read" } as const;
  const write = { action: "registry:write" } as const;
  const tags = ["registry"];

  app.get(
    "/v1/services",
    {
      config: read,
      schema: { tags, summary: "Services with their counts", querystring: InNamespace, response: { 200: ServiceList } },
    },
    ({ query: { namespace = DEFAULT_NAMESPACE } }) => ({
      revision: revisionOf(registry),
      services: registry.catalog
        .services(namespace)
        .map(({ namespace, service }) => registry.catalog.summary(namespace, service)),
    }),
  );

  app.get(
    "/v1/services/:service/instances",
    {
      config: read,
      schema: {
        tags,
        summary: "Instances of a service",
        params: Type.Object({ service: Name }),
        querystring: Type.Object(
          {
            namespace: Type.Optional(Namespace),
            healthy: Type.Optional(
              Type.Boolean({ description: "Only those to send requests to, or only the others." }),
            ),
            status: Type.Optional(CheckStatus),
            tag: Type.Optional(Type.Array(Type.String(), { description: "Has all of these tags." })),
            revision: Type.Optional(Type.Integer({ minimum: 0, description: "Wait until this revision is seen." })),
          },
          { additionalProperties: false },
        ),
        response: { 200: InstanceList },
      },
    },
    async (request, reply) => {
      const { namespace = DEFAULT_NAMESPACE, healthy, status, tag = [], revision } = request.query;
      if (revision !== undefined) await registry.waitFor(revision);
      const instances = registry.catalog
        .instances(namespace, request.params.service)
        .filter(
          (instance) =>
            (healthy === undefined || isHealthy(instance) === healthy) &&
            (status === undefined || instance.status === status) &&
            tag.every((wanted) => instance.tags.includes(wanted)),
        );
      if (instances.length === 0 && registry.catalog.size(namespace, request.params.service) === 0) {
        throw RegistryErrors.SERVICE_NOT_FOUND(
          `Nobody has registered service "${request.params.service}" in namespace "${namespace}".`,
        );
      }
      const seen = revisionOf(registry);
      void reply.header("x-posthouse-revision", String(seen));
      return { revision: seen, instances };
    },
  );

  app.get(
    "/v1/services/:service/instances/:id",
    {
      config: read,
      schema: {
        tags,
        summary: "One instance",
        params: InstanceParams,
        querystring: InNamespace,
        response: { 200: Instance },
      },
    },
    ({ params, query: { namespace = DEFAULT_NAMESPACE } }, reply) => {
      const instance = registry.catalog.instance({ ...params, namespace });
      if (!instance)
        throw RegistryErrors.INSTANCE_NOT_FOUND(`No instance "${params.id}" in service "${params.service}".`);
      void reply.header("etag", `"${instance.modRevision}"`);
      return instance;
    },
  );

  app.put(
    "/v1/services/:service/instances/:id",
    {
      config: write,
      schema: {
        tags,
        summary: "Register an instance, or replace its registration",
        params: InstanceParams,
        querystring: InNamespace,
        headers: Conditions,
        body: Registration,
        response: { 200: Registered, 201: Registered },
      },
    },
    async ({ params, query: { namespace = DEFAULT_NAMESPACE }, headers, body }, reply) => {
      const done = await registry.register({ ...params, namespace }, body, condition(headers));
      return reply.code(done.created ? 201 : 200).send(done);
    },
  );

  app.delete(
    "/v1/services/:service/instances/:id",
    {
      config: write,
      schema: {
        tags,
        summary: "Deregister an instance",
        params: InstanceParams,
        querystring: InNamespace,
        headers: Conditions,
        response: { 200: Changed },
      },
    },
    ({ params, query: { namespace = DEFAULT_NAMESPACE }, headers }) =>
      registry.deregister({ ...params, namespace }, condition(headers)),
  );

  app.put(
    "/v1/services/:service/instances/:id/draining",
    {
      config: write,
      schema: {
        tags,
        summary: "Take an instance out of rotation, or back",
        params: InstanceParams,
        querystring: InNamespace,
        body: Draining,
        response: { 200: Changed },
      },
    },
    ({ params, query: { namespace = DEFAULT_NAMESPACE }, body }) =>
      registry.drain({ ...params, namespace }, body.draining),
  );

  app.get(
    "/v1/services/:service/instances/:id/health",
    {
      config: read,
      schema: {
        tags,
        summary: "Checks of an instance, with their last output",
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

  app.put(
    "/v1/services/:service/instances/:id/checks/:check",
    {
      config: write,
      schema: {
        tags,
        summary: "Report the verdict on a check; for a TTL check also its sign of life",
        params: Type.Object({ ...InstanceParams.properties, check: Id }),
        querystring: InNamespace,
        body: Report,
        response: { 200: Changed },
      },
    },
    ({ params: { check, ...name }, query: { namespace = DEFAULT_NAMESPACE }, body }) =>
      registry.report({ ...name, namespace }, check, body),
  );

  app.post(
    "/v1/sessions",
    {
      config: write,
      schema: {
        tags,
        summary: "Open a session for instances to live by",
        body: SessionRequest,
        response: { 201: Session },
      },
    },
    async ({ body }, reply) => reply.code(201).send(await registry.openSession(body.ttlSeconds)),
  );

  app.put(
    "/v1/sessions/:session/heartbeat",
    {
      config: write,
      schema: {
        tags,
        summary: "Renew a session; costs no revision",
        params: SessionParams,
        response: { 204: Type.Null() },
      },
    },
    async ({ params }, reply) => {
      await registry.heartbeat(params.session);
      return reply.code(204).send(null);
    },
  );

  app.delete(
    "/v1/sessions/:session",
    {
      config: write,
      schema: {
        tags,
        summary: "End a session and what lives by it",
        params: SessionParams,
        response: { 204: Type.Null() },
      },
    },
    async ({ params }, reply) => {
      await registry.closeSession(params.session);
      return reply.code(204).send(null);
    },
  );

  app.get(
    "/v1/watch/services",
    {
      config: read,
      schema: {
        tags,
        summary: "The catalog as Server-Sent Events: snapshot, synced, then deltas; resumes by Last-Event-ID",
        querystring: Type.Object(
          {
            namespace: Type.Optional(Namespace),
            service: Type.Optional(
              Type.Array(Name, { maxItems: SERVICES_PER_WATCH_MAX, description: "Only these; absent: all." }),
            ),
          },
          { additionalProperties: false },
        ),
        produces: ["text/event-stream"],
      },
    },
    (request, reply) => {
      const { namespace = DEFAULT_NAMESPACE, service } = request.query;
      revisionOf(registry);
      registry.hub.attach(reply, {
        topics: service ? service.map((name) => serviceTopic(namespace, name)) : [namespaceTopic(namespace)],
        after: lastEventId(request.headers),
        snapshot: () => registry.snapshot(namespace, service),
      });
    },
  );
}

/** Whether consumers should send it requests. */
function isHealthy(instance: Instance): boolean {
  return (instance.status === "passing" || instance.status === "warning") && !instance.draining;
}

/** The catalog's revision. @throws HTTP_UNAVAILABLE before the first listing: half a catalog is worse than none. */
function revisionOf(registry: Registry): number {
  const { revision } = registry;
  if (revision === 0) throw HttpErrors.UNAVAILABLE("The catalog is still being read; try again shortly.");
  return revision;
}

function condition(headers: { "if-match"?: string; "if-none-match"?: string }): number | undefined {
  if (headers["if-none-match"] === "*") return 0;
  const match = headers["if-match"];
  if (match === undefined) return undefined;
  const revision = /^"(\d{1,15})"$/.exec(match)?.[1];
  if (revision === undefined) {
    throw HttpErrors.INVALID(`If-Match is ${match}; it must be a revision in quotes, such as "42".`, {
      extra: { field: "/if-match", part: "headers" },
    });
  }
  return Number(revision);
}
