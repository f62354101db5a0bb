/** Routes of releases: publish, roll back, and read the history. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, principalOf } from "#http";
import { Publish, Published, Release, RELEASE_BYTES_MAX, ReleaseList, Rollback, SetName } from "../api.ts";
import type { ConfigServer } from "./config-server.ts";
import { HISTORY_PAGE_MAX } from "./history.ts";
import { readableItems, releaseAuthor } from "./key-rights.ts";

/** Bytes of the body of a release: 8 MiB of values, escaped as JSON. */
const PUBLISH_BYTES_MAX = 2 * RELEASE_BYTES_MAX;
const VERSION = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
const tags = ["config"];

export function releaseRoutes(app: FastifyInstance, config: ConfigServer): void {
  publishRoutes(app, config);
  historyRoutes(app, config);
}

function publishRoutes(untyped: FastifyInstance, { publisher }: ConfigServer): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const publish = { action: "config:publish", perItem: true } as const;

  app.post(
    "/v1/config/:namespace/:app/:profile/releases",
    {
      config: publish,
      bodyLimit: PUBLISH_BYTES_MAX,
      schema: { tags, summary: "Publish a release", params: SetName, body: Publish, response: { 201: Published } },
    },
    async (request, reply) => {
      const author = releaseAuthor(principalOf(request));
      return reply.code(201).send(await publisher.publish(request.params, request.body, author));
    },
  );

  app.post(
    "/v1/config/:namespace/:app/:profile/rollback",
    {
      config: publish,
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags,
        summary: "Publish the content of an earlier release again, as a new release",
        params: SetName,
        body: Rollback,
        response: { 201: Published },
      },
    },
    async (request, reply) => {
      const author = releaseAuthor(principalOf(request));
      return reply.code(201).send(await publisher.rollback(request.params, request.body, author));
    },
  );
}

function historyRoutes(untyped: FastifyInstance, { releases }: ConfigServer): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const read = { action: "config:read", perItem: true } as const;

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
    ({ params, query }) => releases.history(params, { before: query.before, limit: query.limit ?? 20 }),
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
    async (request, reply) => {
      const { version, ...name } = request.params;
      const release = await releases.readMasked(name, version);
      return reply.send({ ...release, items: readableItems(principalOf(request), name, release.items) });
    },
  );
}
