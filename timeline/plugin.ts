/** The routes of the timeline. They translate requests and decide nothing. */
import type { FastifyInstance } from "fastify";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { principalOf } from "#http";
import { CHANGES_LISTED_MAX, ChangeKindName, ChangeList, ProblemList } from "./api.ts";
import type { Feed } from "./feed.ts";
import type { ProblemFacts } from "./problems/detector.ts";
import { problemList } from "./problems/mod.ts";
import type { Timeline } from "./timeline.ts";

const TAGS = ["timeline"];
/** Changes of a page when the caller does not say. */
const CHANGES_LISTED = 100;
const Namespace = Type.Optional(
  Type.String({
    pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    description: "Only this namespace, and what belongs to none. Absent: all that the caller may read.",
  }),
);

export interface TimelineParts {
  readonly timeline: Timeline;
  readonly feed: Feed;
  readonly problems: () => ProblemFacts;
}

export function timelinePlugin(untyped: FastifyInstance, { timeline, feed, problems }: TimelineParts): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  // The lists are filtered to what the caller may read.
  const config = { action: "registry:read", about: "nothing" } as const;

  app.get(
    "/v1/changes",
    {
      config,
      schema: {
        tags: TAGS,
        summary: "List what changed lately: health, releases, rollouts, members, gateways and access; newest first",
        querystring: Type.Object(
          {
            namespace: Namespace,
            kind: Type.Optional(Type.Array(ChangeKindName, { maxItems: 32, description: "Only these kinds." })),
            service: Type.Optional(
              Type.String({
                maxLength: 253,
                description: "Only instances of this service, and config of the app with this name.",
              }),
            ),
            since: Type.Optional(
              Type.String({ format: "date-time", description: "Only changes at this time or later." }),
            ),
            until: Type.Optional(Type.String({ format: "date-time", description: "Only changes before this time." })),
            before: Type.Optional(
              Type.String({ maxLength: 512, description: "Only changes older than this one, by its id." }),
            ),
            limit: Type.Optional(
              Type.Integer({
                minimum: 1,
                maximum: CHANGES_LISTED_MAX,
                default: CHANGES_LISTED,
                description: "The most changes.",
              }),
            ),
          },
          { additionalProperties: false },
        ),
        response: { 200: ChangeList },
      },
    },
    (request) => {
      const { kind, limit = CHANGES_LISTED, ...rest } = request.query;
      return timeline.list(principalOf(request), { ...rest, kinds: kind, limit });
    },
  );

  app.get(
    "/v1/problems",
    {
      config,
      schema: {
        tags: TAGS,
        summary: "List what is wrong now, the most severe first",
        querystring: Type.Object({ namespace: Namespace }, { additionalProperties: false }),
        response: { 200: ProblemList },
      },
    },
    (request) => {
      feed.lookAtProblems();
      return problemList(problems(), principalOf(request), request.query.namespace);
    },
  );

  app.get(
    "/v1/feed",
    {
      config,
      schema: {
        tags: TAGS,
        summary:
          "Follow what changes by Server-Sent Events: hello, changed, reset and heartbeat; resumes by Last-Event-ID",
        querystring: Type.Object({}, { additionalProperties: false }),
        produces: ["text/event-stream"],
      },
    },
    (request, reply) => {
      const id = request.headers["last-event-id"];
      feed.attach(reply, principalOf(request), typeof id === "string" ? id : undefined);
    },
  );
}
