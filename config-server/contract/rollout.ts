/**
 * Rollouts in the config server's wire contract: the identity of a subscriber, the stages of a release and the instances that
 * each stage reaches, what a stage waits for, and its result.
 */
import { Type, type Static } from "typebox";
import { Name } from "./items.ts";

/** Stages of one rollout, without the last stage, which reaches every instance. */
export const STAGES_MAX = 16;
/** Instances that all stages of one rollout name, since its record holds them. Larger stages use labels or a share. */
export const STAGE_INSTANCES_MAX = 1000;
/** Labels of one instance, or of one selector. */
export const LABELS_MAX = 32;
/** Seconds that a stage may be held, and that it may wait for acknowledgements: a week, a day. */
export const HOLD_SECONDS_MAX = 604_800;
export const ACK_SECONDS_MAX = 86_400;
/** Defaults of a stage: long enough for a health check to change, and for a slow start. */
export const HOLD_SECONDS = 60;
export const ACK_SECONDS = 120;
/** Instances in the view of a rollout; those that it waits for come first. */
export const SHOWN_INSTANCES_MAX = 1000;
/** Failures that are kept with a rollout. The first ones usually show the cause. */
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

/** The identity of a caller that reads a config. A caller without an instance receives live releases only. */
export interface Identity {
  readonly instance?: string;
  readonly labels: Labels;
}

/** Query fields for the identity of the caller. */
export const IdentityQuery = {
  instance: Type.Optional(
    Type.Unsafe<string>({ ...Subscriber, description: "The caller's instance id. Rollouts reach the caller by it." }),
  ),
  labels: Type.Optional(
    Type.Array(Type.String({ maxLength: 8192 }), {
      maxItems: LABELS_MAX,
      description: "The caller's labels: name=value, repeated or separated by commas.",
    }),
  ),
};

const Gate = {
  holdSeconds: Type.Optional(
    Type.Number({
      minimum: 0,
      maximum: HOLD_SECONDS_MAX,
      default: HOLD_SECONDS,
      description: "Seconds between the last acknowledgement and the next stage, in which health must stay good.",
    }),
  ),
  ackTimeoutSeconds: Type.Optional(
    Type.Number({
      minimum: 0.1,
      maximum: ACK_SECONDS_MAX,
      default: ACK_SECONDS,
      description: "Seconds that acknowledgements may be missing.",
    }),
  ),
  acksMin: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 1_000_000,
      description: "The fewest acknowledgements of a stage. Absent: 1 for a stage by labels or instances, else 0.",
    }),
  ),
};

export const StageRequest = Type.Object(
  {
    labels: Type.Optional(Type.Unsafe<Labels>({ ...Labels, description: "Instances with all of these labels." })),
    instances: Type.Optional(Type.Array(Subscriber, { minItems: 1, maxItems: STAGE_INSTANCES_MAX })),
    percent: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: 100,
        description:
          "Share of all instances, chosen by their ids. An instance in the first 10 % is also in the first 20 %.",
      }),
    ),
    ...Gate,
  },
  {
    additionalProperties: false,
    description: "Exactly one of labels, instances and percent. Instances of earlier stages stay reached.",
  },
);
export type StageRequest = Static<typeof StageRequest>;

export const RolloutRequest = Type.Object(
  {
    stages: Type.Array(StageRequest, { minItems: 1, maxItems: STAGES_MAX }),
    everybody: Type.Optional(
      Type.Object(Gate, {
        additionalProperties: false,
        description: "The last stage, which reaches every instance. Until it ends, the rollout can be rolled back.",
      }),
    ),
    health: Type.Optional(
      Type.Object(
        {
          service: Type.Optional(
            Type.Unsafe<string>({ ...Name, description: "A service of the registry. Absent: the app's name." }),
          ),
          unhealthyMax: Type.Optional(
            Type.Integer({
              minimum: 0,
              default: 0,
              description: "The most reached instances that may turn critical in a stage.",
            }),
          ),
          graceSeconds: Type.Optional(
            Type.Number({
              minimum: 0,
              maximum: 3600,
              default: 0,
              description: "Seconds that an instance must be critical before it counts.",
            }),
          ),
        },
        { additionalProperties: false },
      ),
    ),
    onFailure: Type.Optional(
      Type.Union([Type.Literal("rollback"), Type.Literal("pause")], {
        default: "rollback",
        description: "The reaction to a failed or missing acknowledgement, or to bad health.",
      }),
    ),
  },
  { additionalProperties: false, description: "Releases stage by stage, and rolls back automatically on failure." },
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
  percent: Type.Optional(Type.Number({ description: "Without labels, instances and percent: every instance." })),
  holdSeconds: Type.Number(),
  ackTimeoutSeconds: Type.Number(),
  acksMin: Type.Integer(),
  beganAt: Type.Optional(Type.String({ format: "date-time" })),
  endedAt: Type.Optional(Type.String({ format: "date-time" })),
  reached: Type.Optional(Type.Integer({ description: "Instances reached by this stage and earlier stages." })),
  applied: Type.Optional(Type.Integer({ description: "Reached instances that acknowledged." })),
});
export type StageView = Static<typeof StageView>;

export const Failure = Type.Object({ instance: Type.String(), error: Type.String() });
export type Failure = Static<typeof Failure>;

/** One instance in a rollout. */
export const RolloutInstance = Type.Object({
  instance: Type.String(),
  set: Type.Optional(
    Type.String({ description: "NAMESPACE/APP/PROFILE that the instance follows, when it is another set." }),
  ),
  labels: Labels,
  stage: Type.Integer({ description: "The stage that reaches the instance, from 0." }),
  reached: Type.Boolean({ description: "Whether the rollout has reached the instance." }),
  present: Type.Boolean({ description: "Whether it follows the config now, or acknowledged with an open session." }),
  outcome: Type.Optional(
    Type.Union([Type.Literal("applied"), Type.Literal("failed")], {
      description: "The acknowledgement of the new release.",
    }),
  ),
  error: Type.Optional(Type.String()),
  at: Type.Optional(Type.String({ format: "date-time" })),
  health: Type.Optional(
    Type.Union([Type.Literal("well"), Type.Literal("critical")], {
      description: "Absent: the instance is not in the registry.",
    }),
  ),
});
export type RolloutInstance = Static<typeof RolloutInstance>;

/** A running rollout, or the record of one that ended. */
export const RolloutView = Type.Object({
  namespace: Type.String(),
  app: Type.String(),
  profile: Type.String(),
  version: Type.Integer({ description: "The release that the rollout brings." }),
  baseVersion: Type.Integer({ description: "The release that a rollback returns to." }),
  state: RolloutState,
  author: Type.String(),
  reason: Type.String(),
  startedAt: Type.String({ format: "date-time" }),
  stage: Type.Integer({ description: "Index of the current stage, or of the stage in which the rollout ended." }),
  stages: Type.Array(StageView, { description: "The last stage reaches every instance." }),
  onFailure: Type.Union([Type.Literal("rollback"), Type.Literal("pause")]),
  because: Type.Optional(Type.String({ description: "The reason for the pause or the end." })),
  by: Type.Optional(Type.String({ description: "The principal that paused or ended it. Absent: automatic." })),
  endedAt: Type.Optional(Type.String({ format: "date-time" })),
  failures: Type.Array(Failure, { description: "Instances that could not apply the release." }),
  waitsFor: Type.Optional(Type.String({ description: "The missing condition for the next step, as a sentence." })),
  instances: Type.Optional(
    Type.Array(RolloutInstance, {
      description: "Only of a running rollout. Instances that are not reached come last.",
    }),
  ),
});
export type RolloutView = Static<typeof RolloutView>;
export const RolloutList = Type.Object({ rollouts: Type.Array(RolloutView, { description: "Newest first." }) });
export type RolloutList = Static<typeof RolloutList>;
