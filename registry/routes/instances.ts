/** Routes of instances: register, read and deregister them. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, HttpErrors, whileConnected } from "#http";
import {
  Batch,
  BatchRegistered,
  Deregistered,
  DRAIN_SECONDS_MAX,
  Instance,
  Registered,
  Registration,
  RegistryErrors,
} from "../api.ts";
import type { Drains } from "../drains.ts";
import type { Registry } from "../registry.ts";
import { commanderOf, DEFAULT_NAMESPACE, InNamespace, InstanceParams, READ, TAGS, WRITE } from "./request.ts";

const Conditions = Type.Object({
  "if-match": Type.Optional(
    Type.String({ description: 'Applies the write only if modRevision is this, such as `"42"`.' }),
  ),
  "if-none-match": Type.Optional(
    Type.String({ description: "`*`: applies the write only if the instance does not exist." }),
  ),
});

export function batchRoute(untyped: FastifyInstance, registry: Registry): void {
  untyped.withTypeProvider<TypeBoxTypeProvider>().post(
    "/v1/batches",
    {
      config: WRITE,
      bodyLimit: BODY_BYTES.value,
      schema: {
        tags: TAGS,
        summary: "Register several instances in one revision, or none of them",
        querystring: InNamespace,
        body: Batch,
        response: { 200: BatchRegistered },
      },
    },
    (request) => {
      const { namespace = DEFAULT_NAMESPACE } = request.query;
      return registry.commands.registerBatch(namespace, request.body, commanderOf(request));
    },
  );
}

export function registrationRoutes(untyped: FastifyInstance, registry: Registry): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.get(
    "/v1/services/:service/instances/:id",
    {
      config: READ,
      schema: {
        tags: TAGS,
        summary: "Read an instance",
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
      config: WRITE,
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags: TAGS,
        summary: "Register an instance, or replace its registration",
        params: InstanceParams,
        querystring: InNamespace,
        headers: Conditions,
        body: Registration,
        response: { 200: Registered, 201: Registered },
      },
    },
    async (request, reply) => {
      const { params, headers, body } = request;
      const { namespace = DEFAULT_NAMESPACE } = request.query;
      const options = { by: commanderOf(request), ifRevision: conditionOf(headers) };
      const done = await registry.commands.register({ ...params, namespace }, body, options);
      return reply.code(done.created ? 201 : 200).send(done);
    },
  );
}

const DeregistrationQuery = Type.Object(
  {
    ...InNamespace.properties,
    owner: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description: "The instance's owner, when the owner deregisters it.",
      }),
    ),
    incarnation: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description: "With owner: the latest claim to withdraw, even if its registration has not arrived yet.",
      }),
    ),
    drain: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: DRAIN_SECONDS_MAX,
        description: "Drain first: until every subscriber has seen it, or for this many seconds.",
      }),
    ),
  },
  { additionalProperties: false },
);

export function deregistrationRoute(
  untyped: FastifyInstance,
  { registry, drains }: { registry: Registry; drains: Drains },
): void {
  untyped.withTypeProvider<TypeBoxTypeProvider>().delete(
    "/v1/services/:service/instances/:id",
    {
      config: WRITE,
      schema: {
        tags: TAGS,
        summary: "Deregister an instance, at once or after a drain",
        params: InstanceParams,
        querystring: DeregistrationQuery,
        headers: Conditions,
        response: { 200: Deregistered },
      },
    },
    (request, reply) => {
      const { params, headers } = request;
      const { namespace = DEFAULT_NAMESPACE, owner, incarnation, drain = 0 } = request.query;
      const name = { ...params, namespace };
      const ifRevision = conditionOf(headers);
      const by = commanderOf(request);
      if (drain === 0) return registry.commands.deregister(name, { by, ifRevision, owner, incarnation });
      return drains.deregister(name, { by, ifRevision, owner, drainMs: drain * 1000, signal: whileConnected(reply) });
    },
  );
}

function conditionOf(headers: { "if-match"?: string; "if-none-match"?: string }): number | undefined {
  if (headers["if-none-match"]?.trim() === "*") return 0;
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
