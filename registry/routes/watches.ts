/** Routes of watches: open one, list them, and acknowledge what one has delivered. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, lastEventId, principalOf } from "#http";
import { Id, Name, Namespace, RegistryErrors, Seen, WatcherList } from "../api.ts";
import type { Registry } from "../registry.ts";
import { namespaceTopic, serviceTopic, topicsOf } from "../topics.ts";
import { DEFAULT_NAMESPACE, InNamespace, READ, revisionOf, TAGS } from "./request.ts";

/** Services that one watch may name. For more, watch the namespace. */
const SERVICES_PER_WATCH_MAX = 256;

export function watchRoute(untyped: FastifyInstance, registry: Registry): void {
  untyped.withTypeProvider<TypeBoxTypeProvider>().get(
    "/v1/watch/services",
    {
      config: READ,
      schema: {
        tags: TAGS,
        summary: "Watch the catalog by Server-Sent Events: snapshot, synced, then deltas; resumes by Last-Event-ID",
        querystring: Type.Object(
          {
            namespace: Type.Optional(Namespace),
            service: Type.Optional(
              Type.Array(Name, { maxItems: SERVICES_PER_WATCH_MAX, description: "Only these services; absent: all." }),
            ),
            subscriber: Type.Optional(
              Type.Unsafe<string>({
                ...Id,
                description: "The subscriber's own name. A named subscriber acknowledges, and drains wait for it.",
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
}

export function watcherRoutes(untyped: FastifyInstance, registry: Registry): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.get(
    "/v1/watches",
    {
      config: READ,
      schema: {
        tags: TAGS,
        summary: "List this server's open watches, with the revisions sent and acknowledged",
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
        tags: TAGS,
        summary: "Acknowledge that everything up to a revision has been applied",
        params: Type.Object({
          watch: Type.String({ pattern: "^[0-9a-f]{16}$", description: "The value of x-posthouse-watch." }),
        }),
        body: Seen,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { watch } = request.params;
      if (!registry.hub.acknowledge(watch, { principal: principalOf(request), revision: request.body.revision })) {
        throw RegistryErrors.WATCH_NOT_FOUND(
          `This server has no open watch "${watch}" of yours. Send the acknowledgement to the server of the watch.`,
        );
      }
      return reply.code(204).send(null);
    },
  );
}
