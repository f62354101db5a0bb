/** The config server's routes. Translates, decides nothing. */
import { own } from "#base";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { Type } from "typebox";
import {
  BODY_BYTES,
  IF_NONE_MATCH_CHARS_MAX,
  parseIfNoneMatch,
  can,
  isToldSecrets,
  HttpErrors,
  lastEventId,
  principalOf,
  whileConnected,
} from "#http";
import type { Acknowledgements } from "../rollouts/acknowledgements.ts";
import {
  Acknowledge,
  AcknowledgementList,
  AcknowledgeParams,
  ConfigErrors,
  EffectiveConfig,
  Format,
  formatOf,
  IdentityQuery,
  Key,
  type Labels,
  Name,
  Publish,
  Published,
  Release,
  RELEASE_BYTES_MAX,
  ReleaseList,
  Rollback,
  SetList,
  SetName,
  VALUE_BYTES_MAX,
} from "../api.ts";
import { tellsSecrets } from "../secrets/audience.ts";
import { type ConfigServer, HISTORY_PAGE_MAX, nothingReleased } from "./config-server.ts";
import { NOBODY, parseLabels } from "../core/identity.ts";
import { setId } from "../core/keys.ts";
import { topicOf, type Reader } from "../core/told.ts";
import type { Subscribers } from "../rollouts/subscribers.ts";

/** Seconds that a long poll may be held; below the minute that proxies allow. */
const WAIT_SECONDS_MAX = 50;
/** Bytes of the body of a release: 8 MiB of values, escaped as JSON. */
const PUBLISH_BYTES_MAX = 2 * RELEASE_BYTES_MAX;
const VERSION = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

export interface ConfigParts {
  readonly config: ConfigServer;
  readonly acknowledgements: Acknowledgements;
  readonly subscribers: Subscribers;
}

export function configPlugin(untyped: FastifyInstance, { config, acknowledgements, subscribers }: ConfigParts): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const read = { action: "config:read" } as const;
  const publish = { action: "config:publish" } as const;
  /** A gradual release waits for those that can acknowledge it; others are only told. */
  const attach = (request: FastifyRequest, name: SetName, instance: string, labels: Labels) => {
    const principal = principalOf(request);
    if (!can(principal, "config:acknowledge")) return () => {};
    return subscribers.attach(name, instance, { labels, by: principal.id });
  };
  const tags = ["config"];

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
    ({ query }) => ({ revision: revisionOf(config), sets: config.sets(query.namespace) }),
  );

  app.get(
    "/v1/config/:namespace/:app/:profile",
    {
      config: read,
      schema: {
        tags,
        summary: "The effective config; with If-None-Match and wait, a long poll that answers 304 when nothing came",
        params: SetName,
        querystring: Type.Object(
          {
            ...IdentityQuery,
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
      const { wait = 0, ...query } = request.query;
      revisionOf(config);
      const reader = readerOf(request, params, query);
      const signal = whileConnected(reply);
      const known = parseIfNoneMatch(headers["if-none-match"]);
      const waitMs = wait * 1000;
      // Whoever polls in a row is there; whoever asks once is not waited for.
      const { instance, labels } = reader.who;
      const isPolling = instance !== undefined && known !== undefined && waitMs > 0;
      const leave = isPolling ? attach(request, params, instance, labels) : () => {};
      const polled = await config.effectiveOtherThan(params, { reader, known, waitMs, signal }).finally(leave);
      const { state: effective, tag, isKnown } = polled;
      if (tag === undefined) throw nothingReleased(params);
      void reply
        .header("etag", `"${tag}"`)
        .header("cache-control", tellsSecrets(effective, reader.audience) ? "no-store" : "no-cache");
      if (isKnown) return reply.code(304).send(null);
      // The same bytes for all that ask; a large config is not written out anew for each.
      const bytes = config.effectiveBytes(effective);
      return reply.type("application/json; charset=utf-8").send(bytes as unknown as EffectiveConfig);
    },
  );

  app.put(
    "/v1/config/:namespace/:app/:profile/acknowledgements/:subscriber",
    {
      config: { action: "config:acknowledge" },
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags,
        summary: "Say that a release has been applied, or why it could not be",
        params: AcknowledgeParams,
        body: Acknowledge,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { subscriber, ...name } = request.params;
      await acknowledgements.record(name, subscriber, { ...request.body, by: principalOf(request).id });
      return reply.code(204).send(null);
    },
  );

  app.get(
    "/v1/config/:namespace/:app/:profile/acknowledgements",
    {
      config: read,
      schema: {
        tags,
        summary: "Which subscriber runs which release",
        params: SetName,
        response: { 200: AcknowledgementList },
      },
    },
    ({ params }) => acknowledgements.list(params),
  );

  app.post(
    "/v1/config/:namespace/:app/:profile/releases",
    {
      config: publish,
      bodyLimit: PUBLISH_BYTES_MAX,
      schema: { tags, summary: "Publish a release", params: SetName, body: Publish, response: { 201: Published } },
    },
    async (request, reply) => {
      const author = principalOf(request).name;
      return reply.code(201).send(await config.publish(request.params, request.body, author));
    },
  );

  app.post(
    "/v1/config/:namespace/:app/:profile/rollback",
    {
      config: publish,
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags,
        summary: "Publish the content of an earlier release again, as a new one",
        params: SetName,
        body: Rollback,
        response: { 201: Published },
      },
    },
    async (request, reply) => {
      const author = principalOf(request).name;
      return reply.code(201).send(await config.rollback(request.params, request.body, author));
    },
  );

  app.get(
    "/v1/config/:namespace/:app/:profile/releases",
    {
      config: read,
      schema: {
        tags,
        summary: "History, newest first",
        params: SetName,
        querystring: Type.Object(
          {
            before: Type.Optional(VERSION),
            limit: Type.Optional(Type.Integer({ minimum: 1, maximum: HISTORY_PAGE_MAX, default: 20 })),
          },
          { additionalProperties: false },
        ),
        response: { 200: ReleaseList },
      },
    },
    ({ params, query }) => config.history(params, { before: query.before, limit: query.limit ?? 20 }),
  );

  app.get(
    "/v1/config/:namespace/:app/:profile/releases/:version",
    {
      config: read,
      schema: {
        tags,
        summary: "One release, with its content",
        params: Type.Object({ ...SetName.properties, version: VERSION }),
        response: { 200: Release },
      },
    },
    ({ params: { version, ...name } }) => config.read(name, version),
  );

  const KeyParams = Type.Object({ ...SetName.properties, key: Key });
  const Why = Type.Object(
    { reason: Publish.properties.reason, expectedVersion: Publish.properties.expectedVersion },
    { additionalProperties: false },
  );

  app.get(
    "/v1/config/:namespace/:app/:profile/keys/:key",
    {
      config: read,
      schema: {
        tags,
        summary: "One effective value, as it is",
        params: KeyParams,
        querystring: Type.Object(IdentityQuery, { additionalProperties: false }),
        produces: ["text/plain", "application/octet-stream"],
      },
    },
    (request, reply) => {
      const { key, ...name } = request.params;
      revisionOf(config);
      const reader = readerOf(request, name, request.query);
      const effective = config.effective(name, reader);
      const item = own(effective.items, key);
      if (!item) throw ConfigErrors.KEY_NOT_FOUND(`No release for "${setId(name)}" has the key "${key}".`);
      void reply.header("x-posthouse-origin", `${item.origin.profile}@${item.origin.version}`);
      if (item.secret && reader.audience === "others") {
        throw HttpErrors.FORBIDDEN(
          `"${key}" is a secret, which only tokens of the role agent with "${name.app}" among their apps read; an operator may reveal it: POST …/reveal.`,
          { extra: { action: "config:secrets" } },
        );
      }
      if (item.secret) void reply.header("cache-control", "no-store");
      if (item.format === "binary") {
        return reply.type("application/octet-stream").send(Buffer.from(item.value, "base64"));
      }
      return reply
        .serializer((text: string) => text)
        .type("text/plain; charset=utf-8")
        .send(item.value);
    },
  );

  app.delete(
    "/v1/config/:namespace/:app/:profile/keys/:key",
    {
      config: publish,
      schema: {
        tags,
        summary: "Publish a release without a key",
        params: KeyParams,
        querystring: Why,
        response: { 201: Published },
      },
    },
    async (request, reply) => {
      const { key, ...name } = request.params;
      const author = principalOf(request).name;
      const done = await config.change(name, { key, item: undefined, ...request.query }, author);
      return reply.code(201).send(done);
    },
  );

  void untyped.register(async (scope) => {
    // The body is the value, whatever its type says.
    scope.removeAllContentTypeParsers();
    const bodyLimit = VALUE_BYTES_MAX;
    scope.addContentTypeParser("*", { parseAs: "buffer", bodyLimit }, (_request, body, done) => done(null, body));
    scope.withTypeProvider<TypeBoxTypeProvider>().put(
      "/v1/config/:namespace/:app/:profile/keys/:key",
      {
        config: publish,
        schema: {
          tags,
          summary: "Publish a release that differs in one key; the body is the value, the key's ending its format",
          consumes: ["*/*"],
          params: KeyParams,
          querystring: Type.Object(
            {
              ...Why.properties,
              format: Type.Optional(Format),
              expand: Type.Optional(Type.Boolean()),
              secret: Type.Optional(Type.Boolean({ description: "Absent: what the key is already." })),
            },
            { additionalProperties: false },
          ),
          response: { 201: Published },
        },
      },
      async (request, reply) => {
        const { key, ...name } = request.params;
        const { format = formatOf(key), expand = false, secret, ...why } = request.query;
        const item = {
          format,
          value: valueOf(key, format, request.body),
          ...(expand ? { expand } : {}),
          ...(secret === undefined ? {} : { secret }),
        };
        const author = principalOf(request).name;
        return reply.code(201).send(await config.change(name, { key, item, ...why }, author));
      },
    );
  });

  app.get(
    "/v1/watch/config",
    {
      config: read,
      schema: {
        tags,
        summary:
          "The effective config as Server-Sent Events; each frame is the whole of it, or what changed where asked for",
        querystring: Type.Object(
          {
            ...SetName.properties,
            ...IdentityQuery,
            patches: Type.Optional(
              Type.Boolean({
                description: "A delta is what changed: `base` a releaseKey, `changed` and `removed` keys.",
              }),
            ),
          },
          { additionalProperties: false },
        ),
        produces: ["text/event-stream"],
      },
    },
    (request, reply) => {
      revisionOf(config);
      const { patches = false, instance, labels, ...name } = request.query;
      const reader = readerOf(request, name, { instance, labels });
      // What cannot be told is a problem now, and no stream without a beginning.
      config.effective(name, reader);
      config.hub.attach(reply, {
        topics: [topicOf(name, reader, patches)],
        after: lastEventId(request.headers),
        snapshot: () => [config.effective(name, reader)],
        since: (revision) => config.effectiveSince(name, reader, revision),
        ...(instance === undefined ? {} : { onEnd: attach(request, name, instance, reader.who.labels) }),
      });
    },
  );
}

/**
 * Who asks. Only those that run an app are told its secrets: even an operator's look at one is to be audited.
 * @throws CONFIG_IDENTITY_INVALID
 */
function readerOf(
  request: FastifyRequest,
  { app }: Pick<SetName, "app">,
  { instance, labels }: { instance?: string | undefined; labels?: string[] | undefined },
): Reader {
  const who =
    instance === undefined && labels === undefined
      ? NOBODY
      : { ...(instance === undefined ? {} : { instance }), labels: parseLabels(labels ?? []) };
  return { who, audience: isToldSecrets(principalOf(request), app) ? "instances" : "others" };
}

/** @throws CONFIG_VALUE_INVALID when bytes that are no UTF-8 are to be text */
function valueOf(key: string, format: Format, body: unknown): string {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0);
  if (format === "binary") return bytes.toString("base64");
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw ConfigErrors.VALUE_INVALID(`The body for key "${key}" is not UTF-8. Send text, or say format=binary.`, {
      cause,
      extra: { field: "/body" },
    });
  }
}

/** @throws HTTP_UNAVAILABLE before the first listing: an empty config must never be a server that is not ready */
function revisionOf(config: ConfigServer): number {
  const { revision } = config;
  if (revision === 0) throw HttpErrors.UNAVAILABLE("The config is still being read; try again shortly.");
  return revision;
}
