/** Routes of a change before it is released. Translates, decides nothing. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, can, principalOf } from "#http";
import {
  DiffResult,
  Draft,
  DraftList,
  DraftRequest,
  Key,
  Name,
  PromoteRequest,
  Proposal,
  ProposalList,
  ProposalRequest,
  Published,
  ReviewRequest,
  RolloutRequest,
  Rules,
  SEARCH_HITS_MAX,
  SearchResult,
  SetName,
} from "../api.ts";
import type { ConfigServer } from "../releases/config-server.ts";
import type { Author, Proposals, SetState } from "./proposals.ts";

const SET = "/v1/config/:namespace/:app/:profile";
const State = Type.String({
  pattern: "^([1-9][0-9]{0,14}|live|drafts)$",
  default: "live",
  description: "A version, `live`, or `drafts`: the live one with the caller's drafts.",
});
const ProposalParams = Type.Object({ ...SetName.properties, proposal: Type.String({ pattern: "^[0-9a-f]{1,32}$" }) });

export function proposalsPlugin(untyped: FastifyInstance, config: ConfigServer, proposals: Proposals): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const read = { action: "config:read" } as const;
  const draft = { action: "config:draft" } as const;
  const review = { action: "config:review" } as const;
  const publish = { action: "config:publish" } as const;
  const tags = ["config changes"];

  app.get(
    `${SET}/drafts`,
    {
      config: read,
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
    async ({ params, query }) => ({ drafts: await proposals.drafts(params, query.author) }),
  );

  app.put(
    `${SET}/drafts/:key`,
    {
      config: draft,
      bodyLimit: BODY_BYTES.value,
      schema: {
        tags,
        summary: "Draft a key: a value, or that it is to go",
        params: Type.Object({ ...SetName.properties, key: Key }),
        body: DraftRequest,
        response: { 200: Draft },
      },
    },
    (request) => {
      const { key, ...name } = request.params;
      return proposals.saveDraft(name, key, request.body, principalOf(request).name);
    },
  );

  app.delete(
    `${SET}/drafts/:key`,
    {
      config: draft,
      schema: {
        tags,
        summary: "Discard a draft of one's own",
        params: Type.Object({ ...SetName.properties, key: Key }),
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { key, ...name } = request.params;
      await proposals.discardDraft(name, key, principalOf(request).name);
      return reply.code(204).send(null);
    },
  );

  app.post(
    `${SET}/proposals`,
    {
      config: draft,
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags,
        summary:
          "Propose one's drafts; they are checked as a release is, without secrets unless the caller may reveal them",
        params: SetName,
        body: ProposalRequest,
        response: { 201: Proposal },
      },
    },
    async (request, reply) =>
      reply.code(201).send(await proposals.propose(request.params, request.body, authorOf(request))),
  );

  app.get(
    `${SET}/proposals`,
    {
      config: read,
      schema: { tags, summary: "Proposals of a set, newest first", params: SetName, response: { 200: ProposalList } },
    },
    async ({ params }) => ({ proposals: await proposals.proposals(params) }),
  );

  app.get(
    `${SET}/proposals/:proposal`,
    { config: read, schema: { tags, summary: "One proposal", params: ProposalParams, response: { 200: Proposal } } },
    ({ params: { proposal, ...name } }) => proposals.proposal(name, proposal),
  );

  app.post(
    `${SET}/proposals/:proposal/reviews`,
    {
      config: review,
      bodyLimit: BODY_BYTES.note,
      schema: {
        tags,
        summary: "Approve or reject somebody else's proposal",
        params: ProposalParams,
        body: ReviewRequest,
        response: { 200: Proposal },
      },
    },
    (request) => {
      const { proposal, ...name } = request.params;
      return proposals.review(name, proposal, request.body, principalOf(request).name);
    },
  );

  app.delete(
    `${SET}/proposals/:proposal`,
    {
      config: draft,
      schema: { tags, summary: "Take one's own proposal back", params: ProposalParams, response: { 200: Proposal } },
    },
    (request) => {
      const { proposal, ...name } = request.params;
      return proposals.withdraw(name, proposal, principalOf(request).name);
    },
  );

  app.post(
    `${SET}/proposals/:proposal/publish`,
    {
      config: publish,
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags,
        summary: "Release a proposal, merged onto what is live now",
        params: ProposalParams,
        body: Type.Object(
          {
            emergency: Type.Optional(Type.Literal(true, { description: "Past a required review." })),
            rollout: Type.Optional(RolloutRequest),
          },
          { additionalProperties: false },
        ),
        response: { 201: Published },
      },
    },
    async (request, reply) => {
      const { proposal, ...name } = request.params;
      const { emergency = false, rollout } = request.body;
      const published = await proposals.publish(name, proposal, principalOf(request).name, { emergency, rollout });
      return reply.code(201).send(published);
    },
  );

  app.post(
    `${SET}/promote`,
    {
      config: publish,
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags,
        summary: "Take a release to another environment: released there, or proposed where a review is required",
        params: SetName,
        body: PromoteRequest,
        response: { 201: Published, 202: Proposal },
      },
    },
    async (request, reply) => {
      const done = await proposals.promote(request.params, request.body, principalOf(request).name);
      return "published" in done ? reply.code(201).send(done.published) : reply.code(202).send(done.proposal);
    },
  );

  app.get(
    `${SET}/diff`,
    {
      config: read,
      schema: {
        tags,
        summary: "What differs between two states of a set, or between two environments",
        params: SetName,
        querystring: Type.Object(
          {
            from: Type.Optional(State),
            to: Type.Optional(State),
            toNamespace: Type.Optional(Type.Unsafe<string>({ ...Name, description: "Absent: the same." })),
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
      return proposals.diff(
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
        summary: "Live keys and lines that hold a text",
        querystring: Type.Object(
          { text: Type.String({ minLength: 1, maxLength: 256 }), namespace: Type.Optional(Name) },
          { additionalProperties: false },
        ),
        response: { 200: SearchResult },
      },
    },
    ({ query: { text, namespace } }) => config.search(text, namespace, SEARCH_HITS_MAX),
  );

  app.get(
    "/v1/config/:namespace/rules",
    {
      config: read,
      schema: {
        tags,
        summary: "What holds for the releases of an environment; the ETag is for changing it",
        params: Type.Object({ namespace: Name }),
        response: { 200: Rules },
      },
    },
    async ({ params }, reply) => {
      const { rules, revision } = await proposals.rulesAt(params.namespace);
      return reply.header("etag", `"${revision}"`).send(rules);
    },
  );

  app.put(
    "/v1/config/:namespace/rules",
    {
      config: { action: "config:rules" },
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags,
        summary: "Say whether releases of an environment want a review, and what they may be",
        params: Type.Object({ namespace: Name }),
        headers: Type.Object({
          "if-match": Type.Optional(
            Type.String({ pattern: '^"[0-9]{1,15}"$', description: 'Only if this is the ETag still: `"42"`.' }),
          ),
        }),
        body: Rules,
        response: { 200: Rules },
      },
    },
    async (request, reply) => {
      const match = request.headers["if-match"];
      const ifRevision = match === undefined ? undefined : Number(match.slice(1, -1));
      const by = principalOf(request).name;
      const { rules, revision } = await proposals.setRules(request.params.namespace, request.body, { by, ifRevision });
      return reply.header("etag", `"${revision}"`).send(rules);
    },
  );
}

function stateOf(text: string, author: string): SetState {
  if (text === "live") return "live";
  return text === "drafts" ? { drafts: author } : { version: Number(text) };
}

function authorOf(request: FastifyRequest): Author {
  const principal = principalOf(request);
  return { name: principal.name, blind: !can(principal, "config:reveal") };
}
