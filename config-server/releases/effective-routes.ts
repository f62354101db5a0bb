/** Routes that read live config: the list of sets, and the effective config by long poll or as a watch. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { Type } from "typebox";
import {
  IF_NONE_MATCH_CHARS_MAX,
  isAllowed,
  lastEventId,
  parseIfNoneMatch,
  principalOf,
  requireCurrent,
  whileConnected,
} from "#http";
import { EffectiveConfig, IdentityQuery, type Labels, Name, SetList, SetName, WaitQuery } from "../api.ts";
import { topicOf } from "../core/watch-frames.ts";
import type { Subscribers } from "../rollouts/subscribers.ts";
import { hasClearSecrets } from "../secrets/audience.ts";
import type { ConfigServer } from "./config-server.ts";
import { readsSet } from "./key-rights.ts";
import { readerOf, readyRevisionOf } from "./reader.ts";
import { nothingReleased } from "./stored-releases.ts";

interface EffectiveParts {
  readonly config: ConfigServer;
  readonly subscribers: Subscribers;
}

const read = { action: "config:read", perItem: true } as const;
const tags = ["config"];

export function effectiveRoutes(untyped: FastifyInstance, { config, subscribers }: EffectiveParts): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.get(
    "/v1/config",
    {
      config: { ...read, about: "everything" },
      schema: {
        tags,
        summary: "Sets that have a live release",
        querystring: Type.Object({ namespace: Type.Optional(Name) }, { additionalProperties: false }),
        response: { 200: SetList },
      },
    },
    (request) => {
      const sets = config.sets(request.query.namespace).filter(readsSet(principalOf(request)));
      return { revision: readyRevisionOf(config), sets };
    },
  );

  app.get(
    "/v1/config/:namespace/:app/:profile",
    {
      config: read,
      schema: {
        tags,
        summary:
          "The effective config. With If-None-Match and wait: a long poll, which answers 304 when nothing changed",
        params: SetName,
        querystring: Type.Object({ ...IdentityQuery, ...WaitQuery }, { additionalProperties: false }),
        headers: Type.Object({ "if-none-match": Type.Optional(Type.String({ maxLength: IF_NONE_MATCH_CHARS_MAX })) }),
        response: { 200: EffectiveConfig, 304: Type.Null() },
      },
    },
    async (request, reply) => {
      const { params, headers } = request;
      const { wait = 0, ...query } = request.query;
      readyRevisionOf(config);
      const reader = readerOf(request, params, query);
      const signal = whileConnected(reply);
      const known = parseIfNoneMatch(headers["if-none-match"]);
      const waitMs = wait * 1000;
      // A caller that repeats long polls is a subscriber; rollouts do not wait for a caller that reads once.
      const { instance, labels } = reader.who;
      const isPolling = instance !== undefined && known !== undefined && waitMs > 0;
      const leave = isPolling ? attach(request, subscribers, { name: params, instance, labels }) : () => {};
      const polled = await config.effectiveOtherThan(params, { reader, known, waitMs, signal }).finally(leave);
      const { state: effective, tag, isKnown } = polled;
      requireCurrent(request);
      if (tag === undefined) throw nothingReleased(params);
      void reply
        .header("etag", `"${tag}"`)
        .header("cache-control", hasClearSecrets(effective, reader) ? "no-store" : "no-cache");
      if (isKnown) return reply.code(304).send(null);
      // The same bytes for all readers: a large config is not encoded again for each.
      const bytes = config.effectiveBytes(effective);
      return reply.type("application/json; charset=utf-8").send(bytes as unknown as EffectiveConfig);
    },
  );
}

export function watchRoute(untyped: FastifyInstance, { config, subscribers }: EffectiveParts): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.get(
    "/v1/watch/config",
    {
      config: read,
      schema: {
        tags,
        summary: "The effective config as Server-Sent Events. Each frame is the whole config, or a patch if requested",
        querystring: Type.Object(
          {
            ...SetName.properties,
            ...IdentityQuery,
            patches: Type.Optional(
              Type.Boolean({
                description: "Deltas are patches: `base` is a releaseKey, `changed` and `removed` are keys.",
              }),
            ),
          },
          { additionalProperties: false },
        ),
        produces: ["text/event-stream"],
      },
    },
    (request, reply) => {
      readyRevisionOf(config);
      const { patches = false, instance, labels, ...name } = request.query;
      const reader = readerOf(request, name, { instance, labels });
      // A config that cannot be built is a problem response, not a stream without a snapshot.
      config.effective(name, reader);
      config.hub.attach(reply, {
        topics: [topicOf(name, reader, patches)],
        after: lastEventId(request.headers),
        snapshot: () => [config.effective(name, reader)],
        since: (revision) => config.effectiveSince(name, reader, revision),
        ...(instance === undefined
          ? {}
          : { onEnd: attach(request, subscribers, { name, instance, labels: reader.who.labels }) }),
      });
    },
  );
}

/** A rollout waits for subscribers that can acknowledge; other readers receive the config without being counted. */
function attach(
  request: FastifyRequest,
  subscribers: Subscribers,
  { name, instance, labels }: { name: SetName; instance: string; labels: Labels },
): () => void {
  const principal = principalOf(request);
  const { namespace, app, profile } = name;
  if (!isAllowed(principal, "config:acknowledge", { namespace, app, profile })) return () => {};
  return subscribers.attach(name, instance, { labels, by: principal.id });
}
