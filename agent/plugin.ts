/** The local API's routes. Translates, decides nothing. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import {
  AgentStatus,
  EffectiveConfig,
  FileName,
  FileRequest,
  HealthHistory,
  Id,
  LocalFiles,
  LocalHealth,
  LocalServices,
  Name,
  Namespace,
  Report,
  Resolved,
  ServiceRequest,
} from "./api.ts";
import {
  BODY_BYTES,
  IF_NONE_MATCH_CHARS_MAX,
  parseIfNoneMatch,
  principalOf,
  requireWithin,
  whileConnected,
  within,
} from "#http";
import { Acknowledge, AcknowledgeParams } from "#config-server/api";
import { Drain, DRAIN_SECONDS_MAX, LifecycleRequest } from "#registry/api";
import { contentOfFile, DEFAULT_NAMESPACE } from "./definitions.ts";
import { setsOf } from "./files.ts";
import type { LocalAgent } from "./agent.ts";
import { requireEverything } from "./local-access.ts";

const ServiceParams = Type.Object({ id: Id });
const SetParams = Type.Object({ namespace: Name, app: Name, profile: Name });
/** Seconds that a long poll may be held, as at the config server. */
const WAIT_SECONDS_MAX = 50;
const FileParams = Type.Object({ name: FileName });

export function agentPlugin(untyped: FastifyInstance, agent: LocalAgent): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const config = { action: "open" } as const;
  const tags = ["agent"];
  // A stop must not wait for those that wait for news.
  const closing = new AbortController();
  app.addHook("preClose", async () => closing.abort(new Error("stopping")));

  app.put(
    "/v1/agent/services/:id",
    {
      config,
      bodyLimit: BODY_BYTES.document,
      schema: { tags, summary: "Register a service of this host", params: ServiceParams, body: ServiceRequest },
    },
    async (request, reply) => {
      const { params, body } = request;
      const { namespace = DEFAULT_NAMESPACE, name } = body;
      requireWithin(principalOf(request), "services", { namespace, name });
      requireService(request, agent, params.id);
      agent.register(params.id, body);
      return reply.code(204).send();
    },
  );
  app.delete(
    "/v1/agent/services/:id",
    {
      config,
      schema: {
        tags,
        summary: "Deregister a service of this host, at once or after a drain",
        params: ServiceParams,
        querystring: Type.Object(
          {
            drain: Type.Optional(
              Type.Integer({
                minimum: 0,
                maximum: DRAIN_SECONDS_MAX,
                description: "Drain first, until every subscriber has seen it or so many seconds.",
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
      requireService(request, agent, params.id);
      if (drain > 0) {
        return agent.drainAndDeregister(params.id, drain * 1000, whileConnected(reply));
      }
      agent.deregister(params.id);
      return reply.code(204).send(null);
    },
  );
  app.put(
    "/v1/agent/services/:id/lifecycle",
    {
      config,
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags,
        summary: "Say where a service stands in its life: take it out of rotation, or back",
        params: ServiceParams,
        body: Type.Pick(LifecycleRequest, ["lifecycle"], { additionalProperties: false }),
      },
    },
    async (request, reply) => {
      const { params, body } = request;
      requireService(request, agent, params.id);
      agent.setLifecycle(params.id, body.lifecycle);
      return reply.code(204).send();
    },
  );
  app.put(
    "/v1/agent/services/:id/checks/:check",
    {
      config,
      bodyLimit: BODY_BYTES.note,
      schema: { tags, summary: "Report a TTL check", params: Type.Object({ id: Id, check: Id }), body: Report },
    },
    async (request, reply) => {
      const { params } = request;
      const { status, output = "" } = request.body;
      requireService(request, agent, params.id);
      agent.report(params.id, params.check, { status, output });
      return reply.code(204).send();
    },
  );
  app.get(
    "/v1/agent/services",
    {
      config,
      schema: { tags, summary: "What this host claims, and how far it is in sync", response: { 200: LocalServices } },
    },
    (request) => ({ services: agent.services().filter(mayClaim(request)) }),
  );
  app.get(
    "/v1/agent/health",
    { config, schema: { tags, summary: "Every check, with its last output", response: { 200: LocalHealth } } },
    (request) => ({ services: agent.health().filter(mayClaim(request)) }),
  );
  app.get(
    "/v1/agent/services/:id/health/history",
    {
      config,
      schema: {
        tags,
        summary: "What was seen of a service's health within a day",
        params: ServiceParams,
        response: { 200: HealthHistory },
      },
    },
    (request) => {
      requireService(request, agent, request.params.id);
      return agent.healthHistory(request.params.id);
    },
  );

  app.get(
    "/v1/agent/config/:namespace/:app/:profile",
    {
      config,
      schema: {
        tags,
        summary:
          "Effective config, from here: also while the server is away; with If-None-Match and wait, a long poll that answers 304",
        params: SetParams,
        querystring: Type.Object(
          {
            wait: Type.Optional(
              Type.Number({
                minimum: 0,
                maximum: WAIT_SECONDS_MAX,
                description: "Seconds to wait for another content.",
              }),
            ),
          },
          { additionalProperties: false },
        ),
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
        signal: AbortSignal.any([whileConnected(reply), closing.signal]),
      });
      void reply.header("etag", `"${tag}"`).header("cache-control", "no-store");
      return isKnown ? reply.code(304).send(null) : sendKnown(reply, state);
    },
  );
  app.post(
    "/v1/agent/config/:namespace/:app/:profile/accept",
    {
      config,
      schema: {
        tags,
        summary: "Take the server's older config, when its store was lost or restored and that is as it should be",
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
      config,
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags,
        summary:
          "Have it said that a program on this host has applied a release, or why not; passed on once the server answers",
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
  app.get(
    "/v1/agent/resolve/:service",
    {
      config,
      schema: {
        tags,
        summary: "Instances of a service, from here: also while the server is away",
        params: Type.Object({ service: Name }),
        querystring: Type.Object(
          {
            namespace: Type.Optional(Namespace),
            healthy: Type.Optional(
              Type.Boolean({ description: "Only those to send requests to, or only the others." }),
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

  app.put(
    "/v1/agent/files/:name",
    {
      config,
      bodyLimit: BODY_BYTES.value,
      schema: {
        tags,
        summary: "Keep a config value, or a template filled with some, in a file of the agent's folder",
        params: FileParams,
        body: FileRequest,
      },
    },
    async (request, reply) => {
      const { params, body } = request;
      // Both what it is made of and what it replaces.
      for (const set of [...setsOf(contentOfFile(body)), ...agent.setsOfFile(params.name)]) requireApp(request, set);
      return reply.code(200).send({ path: agent.keepFile(params.name, body) });
    },
  );
  app.delete(
    "/v1/agent/files/:name",
    { config, schema: { tags, summary: "Stop keeping a file, and remove it", params: FileParams } },
    async (request, reply) => {
      const { params } = request;
      for (const set of agent.setsOfFile(params.name)) requireApp(request, set);
      await agent.dropFile(params.name);
      return reply.code(204).send();
    },
  );
  app.get(
    "/v1/agent/files",
    { config, schema: { tags, summary: "Files kept, and how each one stands", response: { 200: LocalFiles } } },
    (request) => ({ files: agent.files().filter(({ app }) => within(principalOf(request).limits?.apps, app)) }),
  );
  app.get(
    "/v1/agent/status",
    { config, schema: { tags, summary: "How the agent is", response: { 200: AgentStatus } } },
    (request) => {
      requireEverything(principalOf(request));
      return agent.status();
    },
  );
}

/** What is served from here says how old it is, and whether the server is away. */
function sendKnown<Value>(reply: FastifyReply, known: { value: Value; stale: boolean; ageSeconds: number }): Value {
  void reply.header("age", String(known.ageSeconds));
  if (known.stale) void reply.header("x-posthouse-stale", "true");
  return known.value;
}

/** @throws HTTP_FORBIDDEN unless the caller's token is for this app */
function requireApp(request: FastifyRequest, { namespace, app }: { namespace: string; app: string }): void {
  requireWithin(principalOf(request), "apps", { namespace, name: app });
}

/** @throws HTTP_FORBIDDEN when this host has a service of that id which the caller's token is not for */
function requireService(request: FastifyRequest, agent: LocalAgent, id: string): void {
  const held = agent.nameOf(id);
  if (held) requireWithin(principalOf(request), "services", { namespace: held.namespace, name: held.service });
}

/** Whether the caller's token is for a service. */
function mayClaim(request: FastifyRequest): (one: { service: string }) => boolean {
  const { limits } = principalOf(request);
  return ({ service }) => within(limits?.services, service);
}
