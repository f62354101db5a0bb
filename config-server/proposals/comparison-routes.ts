/** Routes that look into config: the differences between two states, and a search in live config. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { principalOf } from "#http";
import { DiffResult, Name, SEARCH_HITS_MAX, SearchResult, SetName } from "../api.ts";
import type { ConfigServer } from "../releases/config-server.ts";
import { readsKey, readsSet } from "../releases/key-rights.ts";
import { compareStates, type SetState } from "./comparison.ts";
import type { Drafts } from "./drafts.ts";

const State = Type.String({
  pattern: "^([1-9][0-9]{0,14}|live|drafts)$",
  default: "live",
  description: "A version, `live`, or `drafts`: the live version with the caller's drafts.",
});

export function comparisonRoutes(
  untyped: FastifyInstance,
  { config, drafts }: { config: ConfigServer; drafts: Drafts },
): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const read = { action: "config:read", perItem: true } as const;
  const tags = ["config changes"];

  app.get(
    "/v1/config/:namespace/:app/:profile/diff",
    {
      config: read,
      schema: {
        tags,
        summary: "Differences between two states of a set, or between two environments",
        params: SetName,
        querystring: Type.Object(
          {
            from: Type.Optional(State),
            to: Type.Optional(State),
            toNamespace: Type.Optional(Type.Unsafe<string>({ ...Name, description: "Absent: the same namespace." })),
          },
          { additionalProperties: false },
        ),
        response: { 200: DiffResult },
      },
    },
    async (request, reply) => {
      const { from = "live", to = "live", toNamespace } = request.query;
      const principal = principalOf(request);
      const author = principal.name;
      const reads = readsKey(principal);
      const target = { ...request.params, ...(toNamespace === undefined ? {} : { namespace: toNamespace }) };
      const found = await compareStates(
        { config, drafts },
        { name: request.params, state: stateOf(from, author) },
        { name: target, state: stateOf(to, author) },
      );
      const differences = found.differences.filter(({ key }) => reads(request.params, key) && reads(target, key));
      return reply.send({ ...found, differences });
    },
  );

  app.get(
    "/v1/config-search",
    {
      config: { ...read, about: "everything" },
      schema: {
        tags,
        summary: "Live keys and lines that contain a text",
        querystring: Type.Object(
          { text: Type.String({ minLength: 1, maxLength: 256 }), namespace: Type.Optional(Name) },
          { additionalProperties: false },
        ),
        response: { 200: SearchResult },
      },
    },
    (request) => {
      const { text, namespace } = request.query;
      const principal = principalOf(request);
      return config.search(text, {
        namespace,
        limit: SEARCH_HITS_MAX,
        seesSet: readsSet(principal),
        sees: readsKey(principal),
      });
    },
  );
}

function stateOf(text: string, author: string): SetState {
  if (text === "live") return "live";
  return text === "drafts" ? { drafts: author } : { version: Number(text) };
}
