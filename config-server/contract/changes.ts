/**
 * Changes before a release in the config server's wire contract: drafts of one author, a proposal that others review, the
 * differences between two states, and the rules of an environment. Acknowledgements and search, too.
 */
import { Type, type Static } from "typebox";
import {
  Format,
  Item,
  Key,
  KEYS_PER_RELEASE_MAX,
  Name,
  Profile,
  RELEASE_BYTES_MAX,
  VALUE_BYTES_MAX,
  VALUE_CHARS_MAX,
} from "./items.ts";
import { Labels, Subscriber } from "./rollout.ts";

/** Reviews of one proposal. */
export const REVIEWS_MAX = 32;
/** Drafts of one author in one set, and so keys of one proposal. */
export const DRAFTS_MAX = 100;
/** Proposals of one set that are open at a time. */
export const OPEN_PROPOSALS_MAX = 100;
/** Bytes of a stored draft or proposal: one value of the store, and more than people review. */
export const PROPOSAL_BYTES_MAX = 1024 * 1024;
/** Hits of one search. */
export const SEARCH_HITS_MAX = 200;

const Reason = Type.String({ maxLength: 1024, description: "Why, for the history." });

export const DraftRequest = Type.Object(
  {
    format: Type.Optional(Format),
    value: Type.Optional(Type.String({ maxLength: VALUE_CHARS_MAX })),
    expand: Item.properties.expand,
    secret: Item.properties.secret,
    remove: Type.Optional(Type.Literal(true, { description: "Removes the key. Give no value then." })),
  },
  { additionalProperties: false },
);
export type DraftRequest = Static<typeof DraftRequest>;

export const Draft = Type.Object({
  key: Key,
  author: Type.String(),
  baseVersion: Type.Integer({ description: "The live version when the draft was begun; 0: nothing was released." }),
  updatedAt: Type.String({ format: "date-time" }),
  item: Type.Union([Item, Type.Null()], { description: "null: remove the key." }),
});
export type Draft = Static<typeof Draft>;
export const DraftList = Type.Object({ drafts: Type.Array(Draft) });

export const ProposalRequest = Type.Object(
  {
    reason: Type.Optional(Reason),
    keys: Type.Optional(
      Type.Array(Key, {
        minItems: 1,
        maxItems: DRAFTS_MAX,
        description: "Keys of the caller's drafts. Absent: all of them.",
      }),
    ),
  },
  { additionalProperties: false },
);
export type ProposalRequest = Static<typeof ProposalRequest>;

export const Review = Type.Object({
  reviewer: Type.String(),
  verdict: Type.Union([Type.Literal("approve"), Type.Literal("reject")]),
  comment: Type.String(),
  at: Type.String({ format: "date-time" }),
});
export const ReviewRequest = Type.Object(
  { verdict: Review.properties.verdict, comment: Type.Optional(Type.String({ maxLength: 4096 })) },
  { additionalProperties: false },
);
export type ReviewRequest = Static<typeof ReviewRequest>;

export const Proposal = Type.Object({
  namespace: Name,
  app: Name,
  profile: Profile,
  id: Type.String(),
  author: Type.String(),
  reason: Type.String(),
  createdAt: Type.String({ format: "date-time" }),
  baseVersion: Type.Integer(),
  state: Type.Union(
    [Type.Literal("open"), Type.Literal("rejected"), Type.Literal("withdrawn"), Type.Literal("published")],
    { description: "An open proposal can be reviewed and published. All other states are final." },
  ),
  changes: Type.Record(Key, Type.Union([Item, Type.Null()]), { description: "By key. null: remove the key." }),
  reviews: Type.Array(Review),
  version: Type.Optional(Type.Integer({ description: "The release that was published from it." })),
  promotedFrom: Type.Optional(Type.String({ description: "The promoted release: NAMESPACE/APP/PROFILE@VERSION." })),
});
export type Proposal = Static<typeof Proposal>;
export const ProposalList = Type.Object({ proposals: Type.Array(Proposal) });

export const Rules = Type.Object(
  {
    review: Type.Union([Type.Literal("optional"), Type.Literal("required")], {
      default: "optional",
      description:
        "required: a release needs a proposal that a principal other than its author has approved, unless it is an emergency.",
    }),
    limits: Type.Optional(
      Type.Object(
        {
          keys: Type.Optional(
            Type.Integer({ minimum: 1, maximum: KEYS_PER_RELEASE_MAX, description: "Keys of a set." }),
          ),
          valueBytes: Type.Optional(Type.Integer({ minimum: 1, maximum: VALUE_BYTES_MAX })),
          releaseBytes: Type.Optional(Type.Integer({ minimum: 1, maximum: RELEASE_BYTES_MAX })),
        },
        {
          additionalProperties: false,
          description: "Limits for every release of the environment, below those of the server.",
        },
      ),
    ),
  },
  { additionalProperties: false },
);
export type Rules = Static<typeof Rules>;

export const Difference = Type.Object({
  key: Key,
  kind: Type.Union([Type.Literal("added"), Type.Literal("removed"), Type.Literal("changed")]),
  before: Type.Optional(Item),
  after: Type.Optional(Item),
  lines: Type.Optional(
    Type.Array(Type.String(), { description: 'For a change: each line with the prefix "+", "-" or " ".' }),
  ),
});
export type Difference = Static<typeof Difference>;
export const DiffResult = Type.Object({
  from: Type.String({ description: "NAMESPACE/APP/PROFILE@STATE" }),
  to: Type.String(),
  differences: Type.Array(Difference),
});
export type DiffResult = Static<typeof DiffResult>;

export const PromoteRequest = Type.Object(
  {
    toNamespace: Name,
    version: Type.Optional(Type.Integer({ minimum: 1, description: "Absent: the live version." })),
    keys: Type.Optional(
      Type.Array(Key, { minItems: 1, maxItems: 1000, description: "Only these; absent: the whole set." }),
    ),
    reason: Type.Optional(Reason),
  },
  { additionalProperties: false },
);
export type PromoteRequest = Static<typeof PromoteRequest>;

const Outcome = Type.Union([Type.Literal("applied"), Type.Literal("failed")]);
const ApplyError = Type.String({ maxLength: 1024, description: "Why it could not be applied." });

/** The acknowledgement of a received release. */
export const Acknowledge = Type.Object(
  {
    releaseKey: Type.String({ minLength: 1, maxLength: 128 }),
    outcome: Outcome,
    error: Type.Optional(ApplyError),
    labels: Type.Optional(
      Type.Unsafe<Labels>({ ...Labels, description: "As in the watch. Absent: the labels of the open watch." }),
    ),
    session: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description: "The acknowledgement is removed with this session. Absent: after an hour.",
      }),
    ),
  },
  { additionalProperties: false },
);
export type Acknowledge = Static<typeof Acknowledge>;
export const AcknowledgeParams = Type.Object({ namespace: Name, app: Name, profile: Profile, subscriber: Subscriber });

export const Acknowledgement = Type.Object({
  subscriber: Subscriber,
  labels: Labels,
  releaseKey: Type.String(),
  outcome: Outcome,
  error: Type.Optional(ApplyError),
  at: Type.String({ format: "date-time" }),
  lateMs: Type.Optional(
    Type.Integer({
      description:
        "Delay between the release reaching the subscriber and its acknowledgement. Absent when it should run another release.",
    }),
  ),
});
export type Acknowledgement = Static<typeof Acknowledgement>;

/** An acknowledgement, and the releases that it is about. */
export const AcknowledgementView = Type.Object({
  ...Acknowledgement.properties,
  current: Type.Boolean({ description: "Whether it is about the current config of the subscriber." }),
  present: Type.Boolean({ description: "Whether the subscriber follows the config now." }),
  versions: Type.Optional(
    Type.Record(Type.String(), Type.Integer(), {
      description: "By NAMESPACE/APP/PROFILE: the releases in this config. Absent: this member no longer knows them.",
    }),
  ),
});
export type AcknowledgementView = Static<typeof AcknowledgementView>;
export const Silent = Type.Object({
  subscriber: Subscriber,
  labels: Labels,
  since: Type.String({ format: "date-time", description: "When the subscriber began to follow the config." }),
});
export type Silent = Static<typeof Silent>;
export const AcknowledgementList = Type.Object({
  releaseKey: Type.String({ description: "The releaseKey of the live config." }),
  applied: Type.Integer({ description: "Subscribers that applied their current config." }),
  failed: Type.Integer({ description: "Subscribers that could not apply their current config." }),
  behind: Type.Integer({ description: "Subscribers that have acknowledged only an earlier config." }),
  subscribers: Type.Array(AcknowledgementView),
  silent: Type.Array(Silent, { description: "Subscribers that follow the config and have not acknowledged." }),
});
export type AcknowledgementList = Static<typeof AcknowledgementList>;

export const SearchResult = Type.Object({
  hits: Type.Array(
    Type.Object({
      namespace: Type.String(),
      app: Type.String(),
      profile: Type.String(),
      version: Type.Integer(),
      key: Type.String(),
      line: Type.Integer({ description: "From 1. 0: the name of the key matches." }),
      text: Type.String(),
    }),
  ),
  more: Type.Boolean(),
});
export type SearchResult = Static<typeof SearchResult>;
