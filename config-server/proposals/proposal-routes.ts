/** Routes of proposals: make and list them, and decide about them. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, type Principal, principalOf } from "#http";
import {
  PromoteRequest,
  Proposal,
  ProposalList,
  ProposalRequest,
  Published,
  ReviewRequest,
  RolloutRequest,
  SetName,
} from "../api.ts";
import { authorOf } from "./author.ts";
import { keyPermit, readableItems, readsKey, releaseAuthor } from "../releases/key-rights.ts";
import type { Proposals } from "./proposals.ts";

const SET = "/v1/config/:namespace/:app/:profile";
const PROPOSALS = `${SET}/proposals`;
const ProposalParams = Type.Object({ ...SetName.properties, proposal: Type.String({ pattern: "^[0-9a-f]{1,32}$" }) });
const tags = ["config changes"];
const read = { action: "config:read", perItem: true } as const;
const draft = { action: "config:draft", perItem: true } as const;
const publish = { action: "config:publish", perItem: true } as const;

export function proposalRoutes(app: FastifyInstance, proposals: Proposals): void {
  proposingRoutes(app, proposals);
  reviewRoutes(app, proposals);
  publishRoutes(app, proposals);
}

function proposingRoutes(untyped: FastifyInstance, proposals: Proposals): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.post(
    PROPOSALS,
    {
      config: draft,
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags,
        summary:
          "Propose your drafts. They are checked as a release is, without secrets unless you are allowed to reveal them",
        params: SetName,
        body: ProposalRequest,
        response: { 201: Proposal },
      },
    },
    async (request, reply) =>
      reply.code(201).send(await proposals.propose(request.params, request.body, authorOf(request))),
  );

  app.get(
    PROPOSALS,
    {
      config: read,
      schema: { tags, summary: "Proposals of a set, newest first", params: SetName, response: { 200: ProposalList } },
    },
    async (request, reply) => {
      const found = await proposals.list(request.params);
      return reply.send({ proposals: found.map((proposal) => visibleProposal(principalOf(request), proposal)) });
    },
  );

  app.get(
    `${PROPOSALS}/:proposal`,
    { config: read, schema: { tags, summary: "One proposal", params: ProposalParams, response: { 200: Proposal } } },
    async (request, reply) => {
      const { proposal, ...name } = request.params;
      return reply.send(visibleProposal(principalOf(request), await proposals.read(name, proposal)));
    },
  );
}

function reviewRoutes(untyped: FastifyInstance, proposals: Proposals): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.post(
    `${PROPOSALS}/:proposal/reviews`,
    {
      config: { action: "config:review", perItem: true },
      bodyLimit: BODY_BYTES.note,
      schema: {
        tags,
        summary: "Approve or reject a proposal of another author",
        params: ProposalParams,
        body: ReviewRequest,
        response: { 200: Proposal },
      },
    },
    async (request, reply) => {
      const { proposal, ...name } = request.params;
      const principal = principalOf(request);
      const reviewer = { name: principal.name, permit: keyPermit(principal, "config:review") };
      return reply.send(visibleProposal(principal, await proposals.review(name, proposal, request.body, reviewer)));
    },
  );

  app.delete(
    `${PROPOSALS}/:proposal`,
    {
      config: draft,
      schema: { tags, summary: "Withdraw one of your proposals", params: ProposalParams, response: { 200: Proposal } },
    },
    (request) => {
      const { proposal, ...name } = request.params;
      return proposals.withdraw(name, proposal, principalOf(request).name);
    },
  );
}

function publishRoutes(untyped: FastifyInstance, proposals: Proposals): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.post(
    `${PROPOSALS}/:proposal/publish`,
    {
      config: publish,
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags,
        summary: "Release a proposal, merged onto the live version",
        params: ProposalParams,
        body: Type.Object(
          {
            emergency: Type.Optional(Type.Literal(true, { description: "Bypasses a required review." })),
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
      const published = await proposals.publish(name, proposal, releaseAuthor(principalOf(request)), {
        emergency,
        rollout,
      });
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
      const principal = principalOf(request);
      const author = { ...releaseAuthor(principal), reads: readsKey(principal) };
      const done = await proposals.promote(request.params, request.body, author);
      return "published" in done ? reply.code(201).send(done.published) : reply.code(202).send(done.proposal);
    },
  );
}

/** A proposal without the changes of keys that the caller may not read. */
function visibleProposal(principal: Principal, proposal: Proposal): Proposal {
  return { ...proposal, changes: readableItems(principal, proposal, proposal.changes) };
}
