/** Routes of watches: open one, list them, and acknowledge what one has delivered. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, lastEventId, maySee, principalOf } from "#http";
import { Id, Name, Namespace, RegistryErrors, Seen, WatcherList } from "../api.ts";
import type { Registry } from "../registry.ts";
import { namespaceTopic, serviceOfTopic, serviceTopic, topicsOf } from "../topics.ts";
import { visibleServices } from "../visible-services.ts";
import { DEFAULT_NAMESPACE, InNamespace, LIST, READ, revisionOf, TAGS } from "./request.ts";

/** Services that one watch may name. For more, watch the namespace. */
const SERVICES_PER_WATCH_MAX = 256;

export function watchRoute(untyped: FastifyInstance, registry: Registry): void {
  untyped.withTypeProvider<TypeBoxTypeProvider>().get(
    "/v1/watch/services",
    {
      config: LIST,
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
      const principal = principalOf(request);
      const sees = service ? undefined : visibleServices(principal);
      registry.hub.attach(reply, {
        subscriber,
        principal,
        sees,
        topics: service ? service.map((name) => serviceTopic(namespace, name)) : [namespaceTopic(namespace)],
        after: lastEventId(request.headers),
        snapshot: () => registry.snapshot(namespace, service, sees),
      });
    },
  );
}

export function watcherRoutes(untyped: FastifyInstance, registry: Registry): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.get(
    "/v1/watches",
    {
      config: LIST,
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
    (request) => {
      const { namespace = DEFAULT_NAMESPACE, service } = request.query;
      const principal = principalOf(request);
      const watchers = [...registry.hub.watchers(service ? topicsOf({ namespace, service }) : undefined)];
      const ofNamespace = watchers.flatMap((watcher) => {
        const topics = watcher.topics.filter((topic) => {
          const name = serviceOfTopic(topic);
          return name.namespace === namespace && maySee(principal, READ.action, name);
        });
        return topics.length === 0 ? [] : [{ ...watcher, topics }];
      });
      return { watchers: ofNamespace };
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
