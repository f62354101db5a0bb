/** The part of the registry's wire contract that is about the past: how the health of a service's instances changed. */
import { Type, type Static } from "typebox";
import { CheckStatus } from "./checks.ts";

/** Hours that are kept: a console's day. */
export const HISTORY_HOURS_MAX = 24;
/** Transitions kept per instance: a flip every eleven minutes, all day. Of more frequent ones, the latest are kept. */
export const HISTORY_TRANSITIONS_MAX = 128;
/** Instances of one answer: a page of a console. */
export const HISTORY_INSTANCES_MAX = 1_000;

/** Why an instance's state changed. The keys are the wire's values. */
export const TRANSITION_CAUSES = {
  registered: "It was registered, or registered again after it had gone.",
  replaced: "Its registration was replaced, and its health changed with that.",
  check: "A check changed. `check` names it.",
  lapsed: "A check had no report in time. `check` names it.",
  lifecycle: "Its lifecycle changed, for example to draining.",
  deregistered: "It was deregistered by a caller.",
  evicted: "The servers deregistered it, because a check was critical for too long.",
  ended: "Its session ended, or lapsed.",
  found: "It existed before its history began.",
} as const;
export type TransitionCause = keyof typeof TRANSITION_CAUSES;

const Lifecycle = Type.Union([
  Type.Literal("starting"),
  Type.Literal("serving"),
  Type.Literal("draining"),
  Type.Literal("stopped"),
]);

export const HistoryStatus = Type.Union([...CheckStatus.anyOf, Type.Literal("gone")], {
  description: "The status of an instance, which is that of its worst check. gone: it is not registered.",
});
export type HistoryStatus = Static<typeof HistoryStatus>;

const state = {
  status: HistoryStatus,
  lifecycle: Type.Optional(Type.Unsafe<Static<typeof Lifecycle>>({ ...Lifecycle, description: "Absent: gone." })),
};

export const HealthTransition = Type.Object({
  at: Type.String({ format: "date-time" }),
  ...state,
  cause: Type.Unsafe<TransitionCause>(
    Type.String({
      enum: Object.keys(TRANSITION_CAUSES),
      description: Object.entries(TRANSITION_CAUSES)
        .map(([name, about]) => `${name}: ${about}`)
        .join(" · "),
    }),
  ),
  check: Type.Optional(Type.String({ description: "The check that changed." })),
  output: Type.Optional(Type.String({ description: "The check's output, shortened." })),
});
export type HealthTransition = Static<typeof HealthTransition>;

export const InstanceHistory = Type.Object({
  instance: Type.String(),
  start: Type.Object(state, { description: "The state at `from`." }),
  transitions: Type.Array(HealthTransition, { description: "Changes after `from`, oldest first." }),
  cutAt: Type.Optional(
    Type.String({
      format: "date-time",
      description:
        "The transitions between `from` and this time are not known: there were more than are kept, or the instance existed before its history did.",
    }),
  ),
});
export type InstanceHistory = Static<typeof InstanceHistory>;

/** The health of a service's instances over time, including instances that have gone. */
export const ServiceHistory = Type.Object({
  namespace: Type.String(),
  service: Type.String(),
  from: Type.String({ format: "date-time" }),
  to: Type.String({ format: "date-time" }),
  instances: Type.Array(InstanceHistory, { description: "In order of id." }),
  next: Type.Optional(Type.String({ description: "There are more instances. Pass it as `after` to read them." })),
});
export type ServiceHistory = Static<typeof ServiceHistory>;
