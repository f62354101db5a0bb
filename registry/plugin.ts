/** The registry's routes. Translates, decides nothing. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { worstOf } from "#health/core";
import {
  BODY_BYTES,
  IF_NONE_MATCH_CHARS_MAX,
  parseIfNoneMatch,
  can,
  HttpErrors,
  lastEventId,
  type Principal,
  principalOf,
  whileConnected,
} from "#http";
import {
  Batch,
  BatchRegistered,
  Changed,
  CheckStatus,
  Deregistered,
  Drain,
  DRAIN_SECONDS,
  DRAIN_SECONDS_MAX,
  Filter,
  Health,
  HealthHistory,
  Id,
  Instance,
  InstanceList,
  LifecycleRequest,
  Name,
  Namespace,
  Registered,
  RegistryErrors,
  Registration,
  Report,
  Seen,
  ServiceList,
  ServicePolicy,
  ServiceView,
  Session,
  SessionRequest,
  WatcherList,
} from "./api.ts";
import type { Commander } from "./core/commands.ts";
import { parseFilter, type Predicate } from "./core/selector.ts";
import type { Drains } from "./drains.ts";
import { namespaceTopic, type Registry, serviceTopic, topicsOf } from "./registry.ts";

/** Seconds that a long poll may be held: within the patience of the proxies in between. */
const WAIT_SECONDS_MAX = 60;
const Wait = Type.Integer({
  minimum: 0,
  maximum: WAIT_SECONDS_MAX,
  description: "Seconds to wait for another answer.",
});
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

/** Who opens sessions for callers. */
export interface SessionOpener {
  open(principal: Principal, ttlSeconds: number): Promise<Session>;
}

/** The caller, as its token says; an operator acts on what belongs to others, too. */
function commanderOf(request: FastifyRequest): Commander {
  const principal = principalOf(request);
  return { id: principal.id, overrides: can(principal, "registry:override") };
}

export function registryPlugin(
  untyped: FastifyInstance,
  { registry, drains, sessions }: { registry: Registry; drains: Drains; sessions: SessionOpener },
): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const read = { action: "registry:read" } as const;
  const write = { action: "registry:write" } as const;
  const policies = { action: "registry:policies" } as const;
  const session = { action: "registry:write", about: "nothing" } as const;
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
    "/v1/services/:service",
    {
      config: read,
      schema: {
        tags,
        summary: "One service: its counts, whether it is in panic, and its policy",
        params: Type.Object({ service: Name }),
        querystring: InNamespace,
        response: { 200: ServiceView },
      },
    },
    ({ params: { service }, query: { namespace = DEFAULT_NAMESPACE } }) => {
      revisionOf(registry);
      const { catalog } = registry;
      if (catalog.size(namespace, service) === 0 && !catalog.hasPolicy(namespace, service)) {
        throw unknownService(namespace, service);
      }
      const policy = catalog.policy(namespace, service);
      return { ...catalog.summary(namespace, service), ...catalog.panic(namespace, service), policy };
    },
  );

  app.put(
    "/v1/services/:service/policy",
    {
      config: policies,
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags,
        summary: "Set what holds for a service as a whole: default checks, panic threshold, fallback, subsets, hints",
        params: Type.Object({ service: Name }),
        querystring: InNamespace,
        body: ServicePolicy,
        response: { 200: Changed },
      },
    },
    ({ params: { service }, query: { namespace = DEFAULT_NAMESPACE }, body }) =>
      registry.setPolicy({ namespace, service }, body),
  );

  app.delete(
    "/v1/services/:service/policy",
    {
      config: policies,
      schema: {
        tags,
        summary: "Go back to the defaults for a service",
        params: Type.Object({ service: Name }),
        querystring: InNamespace,
        response: { 200: Changed },
      },
    },
    ({ params: { service }, query: { namespace = DEFAULT_NAMESPACE } }) => {
      if (!registry.catalog.hasPolicy(namespace, service)) {
        throw RegistryErrors.POLICY_NOT_FOUND(`Service "${service}" of namespace "${namespace}" has no policy.`);
      }
      return registry.setPolicy({ namespace, service }, undefined);
    },
  );

  app.post(
    "/v1/batches",
    {
      config: write,
      bodyLimit: BODY_BYTES.value,
      schema: {
        tags,
        summary: "Register several instances in one revision, or none of them",
        querystring: InNamespace,
        body: Batch,
        response: { 200: BatchRegistered },
      },
    },
    (request) => {
      const { namespace = DEFAULT_NAMESPACE } = request.query;
      return registry.registerBatch(namespace, request.body, commanderOf(request));
    },
  );

  app.get(
    "/v1/services/:service/instances",
    {
      config: read,
      schema: {
        tags,
        summary: "Discover: instances of a service; with If-None-Match and wait, a long poll that answers 304",
        params: Type.Object({ service: Name }),
        querystring: Type.Object(
          {
            namespace: Type.Optional(Namespace),
            healthy: Type.Optional(
              Type.Boolean({ description: "Only those to send requests to, or only the others." }),
            ),
            status: Type.Optional(CheckStatus),
            tag: Type.Optional(Type.Array(Type.String(), { description: "Has all of these tags." })),
            filter: Type.Optional(Filter),
            subset: Type.Optional(Type.Unsafe<string>({ ...Name, description: "Of the service's policy." })),
            near: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: "This zone's come first." })),
            failover: Type.Optional(
              Type.Boolean({
                description:
                  "Answer with the first that is not in panic: this zone, all zones, the service's fallback. `from` says which.",
              }),
            ),
            revision: Type.Optional(Type.Integer({ minimum: 0, description: "Wait until this revision is seen." })),
            wait: Type.Optional(Wait),
          },
          { additionalProperties: false },
        ),
        headers: Type.Object({ "if-none-match": Type.Optional(Type.String({ maxLength: IF_NONE_MATCH_CHARS_MAX })) }),
        response: { 200: InstanceList, 304: Type.Null() },
      },
    },
    async (request, reply) => {
      const { service } = request.params;
      const { namespace = DEFAULT_NAMESPACE, revision, wait = 0, healthy, near, failover = false } = request.query;
      const signal = whileConnected(reply);
      if (revision !== undefined) await registry.waitFor(revision, signal);
      revisionOf(registry);
      const matches = matchesOf(registry, { namespace, service }, request.query);
      const { state, tag, isKnown } = await registry.discover(
        { namespace, service, matches, healthy, near, failover },
        { known: parseIfNoneMatch(request.headers["if-none-match"]), waitMs: wait * 1000, signal },
      );
      if (tag === undefined) throw unknownService(namespace, service);
      void reply.header("etag", `W/"${tag}"`).header("cache-control", "no-cache");
      if (isKnown) return reply.code(304).send(null);
      const { instances, panic, reason, from } = state;
      return reply.header("x-posthouse-revision", String(state.revision)).send({
        revision: state.revision,
        instances: [...instances],
        panic,
        ...(reason === undefined ? {} : { reason }),
        ...(from === undefined ? {} : { from }),
      });
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
      bodyLimit: BODY_BYTES.document,
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
    async (request, reply) => {
      const { params, headers, body } = request;
      const { namespace = DEFAULT_NAMESPACE } = request.query;
      const options = { by: commanderOf(request), ifRevision: condition(headers) };
      const done = await registry.register({ ...params, namespace }, body, options);
      return reply.code(done.created ? 201 : 200).send(done);
    },
  );

  app.delete(
    "/v1/services/:service/instances/:id",
    {
      config: write,
      schema: {
        tags,
        summary: "Deregister an instance, at once or after a drain",
        params: InstanceParams,
        querystring: Type.Object(
          {
            ...InNamespace.properties,
            owner: Type.Optional(
              Type.String({ minLength: 1, maxLength: 128, description: "Its own owner takes it back." }),
            ),
            incarnation: Type.Optional(
              Type.Integer({
                minimum: 0,
                maximum: Number.MAX_SAFE_INTEGER,
                description: "With owner: the latest claim that it takes back, were it still on its way.",
              }),
            ),
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
        headers: Conditions,
        response: { 200: Deregistered },
      },
    },
    (request, reply) => {
      const { params, headers } = request;
      const { namespace = DEFAULT_NAMESPACE, owner, incarnation, drain = 0 } = request.query;
      const name = { ...params, namespace };
      const ifRevision = condition(headers);
      const by = commanderOf(request);
      if (drain === 0) return registry.deregister(name, { by, ifRevision, owner, incarnation });
      return drains.deregister(name, { by, ifRevision, owner, drainMs: drain * 1000, signal: whileConnected(reply) });
    },
  );

  app.put(
    "/v1/services/:service/instances/:id/lifecycle",
    {
      config: write,
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags,
        summary: "Say where an instance stands in its life: take it out of rotation, or back",
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
      return registry.setLifecycle({ ...params, namespace }, lifecycle, options);
    },
  );

  app.get(
    "/v1/services/:service/instances/:id/drain",
    {
      config: read,
      schema: {
        tags,
        summary: "How far the news of a drain has come; waits for it",
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

  app.get(
    "/v1/services/:service/instances/:id/health/history",
    {
      config: read,
      schema: {
        tags,
        summary: "What this member saw of an instance's health within a day",
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
      config: write,
      bodyLimit: BODY_BYTES.note,
      schema: {
        tags,
        summary: "Report the verdict on a check; for a TTL check also its sign of life",
        params: Type.Object({ ...InstanceParams.properties, check: Id }),
        querystring: InNamespace,
        body: Report,
        response: { 200: Changed },
      },
    },
    (request) => {
      const { check, ...name } = request.params;
      const { namespace = DEFAULT_NAMESPACE } = request.query;
      return registry.report({ ...name, namespace }, check, { ...request.body, by: commanderOf(request) });
    },
  );

  app.post(
    "/v1/sessions",
    {
      config: session,
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags,
        summary: "Open a session for instances to live by",
        body: SessionRequest,
        response: { 201: Session },
      },
    },
    async (request, reply) => reply.code(201).send(await sessions.open(principalOf(request), request.body.ttlSeconds)),
  );

  app.put(
    "/v1/sessions/:session/heartbeat",
    {
      config: session,
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
      config: session,
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
            subscriber: Type.Optional(
              Type.Unsafe<string>({
                ...Id,
                description: "The reader's own name; it then acknowledges, and drains wait for it.",
              }),
            ),
          },
          { additionalProperties: false },
        ),
        produces: ["text/event-stream"],
      },
    },
    (request, reply) => {
      const { namespace = DEFAULT_NAMESPACE, service, subscriber } = request.query;
      revisionOf(registry);
      registry.hub.attach(reply, {
        subscriber,
        principal: principalOf(request),
        topics: service ? service.map((name) => serviceTopic(namespace, name)) : [namespaceTopic(namespace)],
        after: lastEventId(request.headers),
        snapshot: () => registry.snapshot(namespace, service),
      });
    },
  );

  app.get(
    "/v1/watches",
    {
      config: read,
      schema: {
        tags,
        summary: "Who watches what at this server, sent and acknowledged up to which revision",
        querystring: Type.Object(
          { ...InNamespace.properties, service: Type.Optional(Name) },
          { additionalProperties: false },
        ),
        response: { 200: WatcherList },
      },
    },
    ({ query: { namespace = DEFAULT_NAMESPACE, service } }) => {
      const watchers = [...registry.hub.watchers(service ? topicsOf({ namespace, service }) : undefined)];
      const ofNamespace = watchers.filter(({ topics }) => topics.some((topic) => topic.startsWith(`${namespace}/`)));
      return { watchers: ofNamespace.map((watcher) => ({ ...watcher, topics: [...watcher.topics] })) };
    },
  );

  app.put(
    "/v1/watches/:watch/seen",
    {
      config: { action: "registry:read", about: "nothing" },
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags,
        summary: "Acknowledge: everything up to a revision has been taken over",
        params: Type.Object({ watch: Type.String({ pattern: "^[0-9a-f]{16}$", description: "x-posthouse-watch." }) }),
        body: Seen,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { watch } = request.params;
      if (!registry.hub.acknowledge(watch, { principal: principalOf(request), revision: request.body.revision })) {
        throw RegistryErrors.WATCH_NOT_FOUND(
          `This server has no open watch "${watch}" of yours. Acknowledge at the server that the watch is open at.`,
        );
      }
      return reply.code(204).send(null);
    },
  );
}

function unknownService(namespace: string, service: string) {
  return RegistryErrors.SERVICE_NOT_FOUND(`Nobody has registered service "${service}" in namespace "${namespace}".`);
}

/** @throws REGISTRY_FILTER_INVALID, REGISTRY_SUBSET_NOT_FOUND */
function matchesOf(
  registry: Registry,
  name: { namespace: string; service: string },
  query: { status?: CheckStatus; tag?: string[]; filter?: string; subset?: string },
): Predicate[] {
  const { status, tag = [], filter, subset } = query;
  const matches: Predicate[] = [];
  if (status !== undefined) matches.push((instance) => instance.status === status);
  if (tag.length > 0) matches.push(({ tags }) => tag.every((wanted) => tags.includes(wanted)));
  if (filter !== undefined) matches.push(parseFilter(filter));
  if (subset !== undefined) matches.push(registry.subset(name, subset));
  return matches;
}

/** The catalog's revision. @throws HTTP_UNAVAILABLE before the first listing: half a catalog is worse than none. */
function revisionOf(registry: Registry): number {
  const { revision } = registry;
  if (revision === 0) throw HttpErrors.UNAVAILABLE("The catalog is still being read; try again shortly.");
  return revision;
}

function condition(headers: { "if-match"?: string; "if-none-match"?: string }): number | undefined {
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
