/**
 * The part of the config server's wire contract that is about gradual releases: who somebody is that asks for a config, in
 * which stages a release reaches whom, what each stage waits for, and how it went.
 */
import { Type, type Static } from "typebox";
import { Name } from "./items.ts";

/** Stages of one rollout, everybody apart: more are a calendar. */
export const STAGES_MAX = 16;
/** Instances that all stages of one rollout name, since they stand in its record; more are told apart by a label or a share. */
export const STAGE_INSTANCES_MAX = 1000;
/** Labels of one instance, or of one selector. */
export const LABELS_MAX = 32;
/** Seconds that a stage may be held, and that it may wait for acknowledgements: a week, a day. */
export const HOLD_SECONDS_MAX = 604_800;
export const ACK_SECONDS_MAX = 86_400;
/** What a stage takes when nobody says: long enough for a health check to turn, and for a slow start. */
export const HOLD_SECONDS = 60;
export const ACK_SECONDS = 120;
/** Instances that a rollout is shown with, the ones that it waits for first. */
export const SHOWN_INSTANCES_MAX = 1000;
/** Failures that are kept with a rollout: the first of them tell what there is to tell. */
export const KEPT_FAILURES_MAX = 20;

export const Subscriber = Type.String({
  pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
  description: "Letters, digits, dot, underscore and dash; at most 128.",
});
export const LABEL_NAME = "[A-Za-z0-9][A-Za-z0-9._/-]{0,127}";
export const LABEL_VALUE = "[A-Za-z0-9._:/@+-]{1,256}";
export const Labels = Type.Record(
  Type.String({ pattern: `^${LABEL_NAME}$` }),
  Type.String({ pattern: `^${LABEL_VALUE}$` }),
  { maxProperties: LABELS_MAX, additionalProperties: false, description: "Such as zone: eu." },
);
export type Labels = Static<typeof Labels>;

/** Who asks for a config. Without an instance it is nobody in particular, and told what is live only. */
export interface Identity {
  readonly instance?: string;
  readonly labels: Labels;
}

/** Members of a query by which somebody says who it is. */
export const IdentityQuery = {
  instance: Type.Optional(
    Type.Unsafe<string>({ ...Subscriber, description: "Id of who asks; gradual releases reach it by that." }),
  ),
  labels: Type.Optional(
    Type.Array(Type.String({ maxLength: 8192 }), {
      maxItems: LABELS_MAX,
      description: "name=value of who asks, repeated or with commas between.",
    }),
  ),
};

const Gate = {
  holdSeconds: Type.Optional(
    Type.Number({
      minimum: 0,
      maximum: HOLD_SECONDS_MAX,
      default: HOLD_SECONDS,
      description: "How long all must be well once they have acknowledged, before the next stage begins.",
    }),
  ),
  ackTimeoutSeconds: Type.Optional(
    Type.Number({
      minimum: 0.1,
      maximum: ACK_SECONDS_MAX,
      default: ACK_SECONDS,
      description: "How long acknowledgements may be missing.",
    }),
  ),
  acksMin: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 1_000_000,
      description: "At least so many must acknowledge. Absent: 1 of a stage by labels or instances, else 0.",
    }),
  ),
};

export const StageRequest = Type.Object(
  {
    labels: Type.Optional(Type.Unsafe<Labels>({ ...Labels, description: "Whoever has all of these." })),
    instances: Type.Optional(Type.Array(Subscriber, { minItems: 1, maxItems: STAGE_INSTANCES_MAX })),
    percent: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: 100,
        description: "Share of all instances by their ids. Whoever is in at 10 is in at 20.",
      }),
    ),
    ...Gate,
  },
  {
    additionalProperties: false,
    description: "Exactly one of labels, instances, percent; whoever earlier stages reached stays reached.",
  },
);
export type StageRequest = Static<typeof StageRequest>;

export const RolloutRequest = Type.Object(
  {
    stages: Type.Array(StageRequest, { minItems: 1, maxItems: STAGES_MAX }),
    everybody: Type.Optional(
      Type.Object(Gate, {
        additionalProperties: false,
        description: "Of the last stage, which is everybody: until it is over, there is a way back.",
      }),
    ),
    health: Type.Optional(
      Type.Object(
        {
          service: Type.Optional(
            Type.Unsafe<string>({ ...Name, description: "Of the registry; absent: the app's name." }),
          ),
          unhealthyMax: Type.Optional(
            Type.Integer({
              minimum: 0,
              default: 0,
              description: "So many reached instances may be critical that were not before the stage.",
            }),
          ),
          graceSeconds: Type.Optional(
            Type.Number({
              minimum: 0,
              maximum: 3600,
              default: 0,
              description: "An instance counts once it has been critical for so long.",
            }),
          ),
        },
        { additionalProperties: false },
      ),
    ),
    onFailure: Type.Optional(
      Type.Union([Type.Literal("rollback"), Type.Literal("pause")], {
        default: "rollback",
        description: "What an instance that cannot take it, a missing acknowledgement or bad health leads to.",
      }),
    ),
  },
  { additionalProperties: false, description: "Released stage by stage, and taken back by itself when it fails." },
);
export type RolloutRequest = Static<typeof RolloutRequest>;

export const ROLLOUT_ACTIONS = ["pause", "resume", "promote", "complete", "abort"] as const;
export type RolloutAction = (typeof ROLLOUT_ACTIONS)[number];
export const RolloutCommand = Type.Object(
  { reason: Type.Optional(Type.String({ maxLength: 1024, default: "", description: "Why, for the history." })) },
  { additionalProperties: false },
);

export const RolloutState = Type.Union(
  [
    Type.Literal("running"),
    Type.Literal("paused"),
    Type.Literal("completed"),
    Type.Literal("rolledBack"),
    Type.Literal("superseded"),
  ],
  { description: "superseded: an emergency release ended it." },
);
export type RolloutState = Static<typeof RolloutState>;

export const StageView = Type.Object({
  labels: Type.Optional(Labels),
  instances: Type.Optional(Type.Array(Type.String())),
  percent: Type.Optional(Type.Number({ description: "None of the three: everybody." })),
  holdSeconds: Type.Number(),
  ackTimeoutSeconds: Type.Number(),
  acksMin: Type.Integer(),
  beganAt: Type.Optional(Type.String({ format: "date-time" })),
  endedAt: Type.Optional(Type.String({ format: "date-time" })),
  reached: Type.Optional(Type.Integer({ description: "Instances that it and the stages before it reached." })),
  applied: Type.Optional(Type.Integer({ description: "Those that acknowledged." })),
});
export type StageView = Static<typeof StageView>;

export const Failure = Type.Object({ instance: Type.String(), error: Type.String() });
export type Failure = Static<typeof Failure>;

/** One instance as a rollout sees it. */
export const RolloutInstance = Type.Object({
  instance: Type.String(),
  set: Type.Optional(Type.String({ description: "NAMESPACE/APP/PROFILE that it follows, when that is another one." })),
  labels: Labels,
  stage: Type.Integer({ description: "The stage that reaches it, from 0." }),
  reached: Type.Boolean({ description: "It is told the new release." }),
  present: Type.Boolean({ description: "It follows the config now, or acknowledged with a session that lives." }),
  outcome: Type.Optional(
    Type.Union([Type.Literal("applied"), Type.Literal("failed")], { description: "Of the new release." }),
  ),
  error: Type.Optional(Type.String()),
  at: Type.Optional(Type.String({ format: "date-time" })),
  health: Type.Optional(
    Type.Union([Type.Literal("well"), Type.Literal("critical")], { description: "Absent: not in the registry." }),
  ),
});
export type RolloutInstance = Static<typeof RolloutInstance>;

/** A rollout under way, or what is kept of one that ended. */
export const RolloutView = Type.Object({
  namespace: Type.String(),
  app: Type.String(),
  profile: Type.String(),
  version: Type.Integer({ description: "The release that it brings." }),
  baseVersion: Type.Integer({ description: "The one that it goes back to." }),
  state: RolloutState,
  author: Type.String(),
  reason: Type.String(),
  startedAt: Type.String({ format: "date-time" }),
  stage: Type.Integer({ description: "Index of the stage that it is in, or ended in." }),
  stages: Type.Array(StageView, { description: "The last is everybody." }),
  onFailure: Type.Union([Type.Literal("rollback"), Type.Literal("pause")]),
  because: Type.Optional(Type.String({ description: "Why it is paused, or ended as it did." })),
  by: Type.Optional(Type.String({ description: "Who paused or ended it; absent: it did by itself." })),
  endedAt: Type.Optional(Type.String({ format: "date-time" })),
  failures: Type.Array(Failure, { description: "Instances that could not take it." }),
  waitsFor: Type.Optional(Type.String({ description: "What it waits for now, for people." })),
  instances: Type.Optional(
    Type.Array(RolloutInstance, { description: "Of one under way; those not reached come last." }),
  ),
});
export type RolloutView = Static<typeof RolloutView>;
export const RolloutList = Type.Object({ rollouts: Type.Array(RolloutView, { description: "Newest first." }) });
export type RolloutList = Static<typeof RolloutList>;
