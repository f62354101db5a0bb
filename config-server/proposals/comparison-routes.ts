/** Routes that look into config: the differences between two states, and a search in live config. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { principalOf } from "#http";
import { DiffResult, Name, SEARCH_HITS_MAX, SearchResult, SetName } from "../api.ts";
import type { ConfigServer } from "../releases/config-server.ts";
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
  const read = { action: "config:read" } as const;
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
    (request) => {
      const { from = "live", to = "live", toNamespace } = request.query;
      const author = principalOf(request).name;
      const target = { ...request.params, ...(toNamespace === undefined ? {} : { namespace: toNamespace }) };
      return compareStates(
        { config, drafts },
        { name: request.params, state: stateOf(from, author) },
        { name: target, state: stateOf(to, author) },
      );
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
    ({ query: { text, namespace } }) => config.search(text, namespace, SEARCH_HITS_MAX),
  );
}

function stateOf(text: string, author: string): SetState {
  if (text === "live") return "live";
  return text === "drafts" ? { drafts: author } : { version: Number(text) };
}
