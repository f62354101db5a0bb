/** Routes of drafts. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, principalOf } from "#http";
import { Draft, DraftList, DraftRequest, Key, SetName } from "../api.ts";
import { readsKey } from "../releases/key-rights.ts";
import type { Drafts } from "./drafts.ts";

const DRAFTS = "/v1/config/:namespace/:app/:profile/drafts";
const DraftParams = Type.Object({ ...SetName.properties, key: Key });

export function draftRoutes(untyped: FastifyInstance, drafts: Drafts): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const draft = { action: "config:draft" } as const;
  const tags = ["config changes"];

  app.get(
    DRAFTS,
    {
      config: { action: "config:read", perItem: true },
      schema: {
        tags,
        summary: "Drafts of a set, of all authors or of one",
        params: SetName,
        querystring: Type.Object(
          { author: Type.Optional(Type.String({ maxLength: 256 })) },
          { additionalProperties: false },
        ),
        response: { 200: DraftList },
      },
    },
    async (request, reply) => {
      const { params, query } = request;
      const reads = readsKey(principalOf(request));
      const found = await drafts.list(params, query.author);
      return reply.send({ drafts: found.filter(({ key }) => reads(params, key)) });
    },
  );

  app.put(
    `${DRAFTS}/:key`,
    {
      config: draft,
      bodyLimit: BODY_BYTES.value,
      schema: {
        tags,
        summary: "Draft a change of a key: a new value, or its removal",
        params: DraftParams,
        body: DraftRequest,
        response: { 200: Draft },
      },
    },
    (request) => {
      const { key, ...name } = request.params;
      return drafts.save(name, key, request.body, principalOf(request).name);
    },
  );

  app.delete(
    `${DRAFTS}/:key`,
    {
      config: draft,
      schema: { tags, summary: "Discard one of your drafts", params: DraftParams, response: { 204: Type.Null() } },
    },
    async (request, reply) => {
      const { key, ...name } = request.params;
      await drafts.discard(name, key, principalOf(request).name);
      return reply.code(204).send(null);
    },
  );
}
