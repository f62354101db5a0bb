/**
 * The wire contract of the timeline: recent changes, present problems, and the feed that tells a console what to read again.
 */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";
import { Change, Subject } from "#changes/api";

export * from "#changes/api";

/** Changes of one answer. */
export const CHANGES_LISTED_MAX = 500;
/** Problems of one answer. Of more, the most severe are listed. */
export const PROBLEMS_LISTED_MAX = 1_000;

export const ChangeList = Type.Object({
  changes: Type.Array(Change, { description: "Newest first." }),
  next: Type.Optional(Type.String({ description: "There are older changes. Pass it as `before` to read them." })),
});
export type ChangeList = Static<typeof ChangeList>;

/** The query of a list of changes. */
export interface ChangeQueryParameters {
  readonly since?: string | undefined;
  readonly until?: string | undefined;
  readonly service?: string | undefined;
  readonly kind?: readonly string[] | undefined;
  readonly limit?: number | undefined;
}

export const Severity = Type.Union([Type.Literal("critical"), Type.Literal("warning")], {
  description: "critical: requests fail or are about to · warning: something needs attention.",
});
export type Severity = Static<typeof Severity>;

export const Problem = Type.Object({
  id: Type.String({ description: "Stays the same while the problem lasts, on every member." }),
  severity: Severity,
  kind: Type.String({ description: "Stable, such as service-down. Later versions may have more kinds." }),
  subject: Subject,
  since: Type.Optional(Type.String({ format: "date-time", description: "Absent: not known." })),
  text: Type.String({ description: "The problem and the remedy, in English, for people." }),
  link: Type.Optional(Type.String({ description: "Path of the control API that shows more." })),
});
export type Problem = Static<typeof Problem>;

export const ProblemList = Type.Object({
  at: Type.String({ format: "date-time" }),
  problems: Type.Array(Problem, { description: "The most severe first, then the latest." }),
  more: Type.Integer({ description: "Problems that are not listed." }),
});
export type ProblemList = Static<typeof ProblemList>;

/** The topics of the feed, in the order of a console's menu. */
export const FEED_TOPICS = [
  "services",
  "service",
  "config",
  "routes",
  "rollouts",
  "locks",
  "access",
  "members",
  "traffic",
  "changes",
  "problems",
] as const;
export type FeedTopic = (typeof FEED_TOPICS)[number];

/** Names per topic of one event. Of more, none is sent, which means all. */
export const FEED_NAMES_MAX = 50;

const TopicName = Type.Unsafe<FeedTopic>(Type.Union(FEED_TOPICS.map((name) => Type.Literal(name))));

/** The data of `hello`: the first event of a feed. */
export const FeedHello = Type.Object({
  revision: Type.Integer({ description: "The store's revision that this member has applied." }),
  member: Type.String({ description: "Id of the member, which changes with a restart." }),
  topics: Type.Array(TopicName, { description: "The topics that the caller may read." }),
});
export type FeedHello = Static<typeof FeedHello>;

/** The data of `changed`: what to read again. */
export const FeedChanged = Type.Object({
  revision: Type.Integer(),
  topics: Type.Array(
    Type.Object({
      topic: TopicName,
      names: Type.Optional(
        Type.Array(Type.String(), { description: "The things that changed. Absent: any of the topic." }),
      ),
    }),
  ),
});
export type FeedChanged = Static<typeof FeedChanged>;

/** The data of `reset`: events may be missing, so everything must be read again. */
export const FeedReset = Type.Object({
  revision: Type.Integer(),
  reason: Type.Union([Type.Literal("gap"), Type.Literal("slow"), Type.Literal("reload")], {
    description:
      "gap: the feed cannot resume from Last-Event-ID · slow: the reader did not keep up · reload: the member read its state again.",
  }),
});
export type FeedReset = Static<typeof FeedReset>;

export const TimelineErrors = defineErrors("TIMELINE", {
  CURSOR_INVALID: { status: 400, title: "Position not valid" },
  FEEDS_FULL: { status: 503, title: "Too many feeds" },
});
