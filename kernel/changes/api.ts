/**
 * The wire contract of changes: what happened, in one list. Each kind of change is a row, so that a later kind is one more
 * row and every reader can show it by its text.
 */
import { Type, type Static } from "typebox";

/** Changes that are kept in the store, and how long. Of more, the newest are kept. */
export const CHANGES_MAX = 5_000;
export const CHANGES_DAYS = 7;
/** Characters of the reason and the text of one change. */
export const CHANGE_TEXT_CHARS_MAX = 300;

export interface ChangeKindRow {
  /** The thing that changed. */
  readonly about: "instance" | "set" | "member" | "gateway" | "token" | "policy" | "binding";
  readonly description: string;
}

/** All kinds of changes. */
export const CHANGE_KINDS = {
  "instance-registered": { about: "instance", description: "An instance was registered." },
  "instance-gone": { about: "instance", description: "An instance was deregistered or evicted, or its session ended." },
  "instance-lifecycle": {
    about: "instance",
    description: "The lifecycle of an instance changed, for example to draining.",
  },
  "instance-health": { about: "instance", description: "The health of an instance changed." },
  "config-released": { about: "set", description: "A config was released to every instance." },
  "config-rolled-back": { about: "set", description: "An earlier content of a config was released again." },
  "rollout-started": { about: "set", description: "A gradual release began." },
  "rollout-advanced": { about: "set", description: "A gradual release reached its next stage." },
  "rollout-paused": { about: "set", description: "A gradual release was paused, by a caller or after a failure." },
  "rollout-resumed": { about: "set", description: "A gradual release was resumed." },
  "rollout-completed": { about: "set", description: "A gradual release is live for every instance." },
  "rollout-rolled-back": { about: "set", description: "A gradual release was aborted, or failed and was rolled back." },
  "rollout-superseded": { about: "set", description: "An emergency release ended a gradual release." },
  "member-joined": { about: "member", description: "A member of the control plane started." },
  "member-left": { about: "member", description: "A member of the control plane stopped, or is not reachable." },
  "gateway-joined": { about: "gateway", description: "A gateway began to follow its config." },
  "gateway-left": { about: "gateway", description: "A gateway stopped, or is not reachable." },
  "token-issued": { about: "token", description: "A token was issued." },
  "token-rotated": { about: "token", description: "A token got a new secret." },
  "token-revoked": { about: "token", description: "A token was revoked." },
  "policy-changed": { about: "policy", description: "A policy was created or changed." },
  "policy-deleted": { about: "policy", description: "A policy was deleted." },
  "binding-changed": { about: "binding", description: "A person or a group got policies." },
  "binding-deleted": { about: "binding", description: "A person or a group lost its policies." },
} as const satisfies Record<string, ChangeKindRow>;
export type ChangeKind = keyof typeof CHANGE_KINDS;

export const ChangeKindName = Type.Unsafe<ChangeKind>(
  Type.Union(
    Object.keys(CHANGE_KINDS).map((name) => Type.Literal(name)),
    { description: "The kind of change." },
  ),
);

/** The thing that a change or a problem is about. Its type determines the names that are present. */
export const Subject = Type.Object({
  type: Type.Union([
    Type.Literal("service"),
    Type.Literal("instance"),
    Type.Literal("set"),
    Type.Literal("member"),
    Type.Literal("gateway"),
    Type.Literal("token"),
    Type.Literal("policy"),
    Type.Literal("binding"),
    Type.Literal("store"),
    Type.Literal("certificate"),
  ]),
  namespace: Type.Optional(Type.String()),
  service: Type.Optional(Type.String()),
  instance: Type.Optional(Type.String({ description: "Of type instance: its id." })),
  app: Type.Optional(Type.String()),
  profile: Type.Optional(Type.String()),
  name: Type.Optional(
    Type.String({ description: "Of members, gateways, tokens, policies, bindings and certificates." }),
  ),
});
export type Subject = Static<typeof Subject>;

/** Facts of a change, each present where it applies. */
const facts = {
  by: Type.Optional(
    Type.String({ description: "The principal that made the change. Absent: the servers, or not known." }),
  ),
  reason: Type.Optional(Type.String({ description: "Why, as the author gave it, or the output of the check." })),
  version: Type.Optional(Type.Integer({ description: "The release." })),
  from: Type.Optional(Type.String({ description: "The state before: a status, lifecycle or version." })),
  to: Type.Optional(Type.String({ description: "The state after." })),
  check: Type.Optional(Type.String()),
};

export const Change = Type.Object({
  id: Type.String({ description: "Opaque. Pass it as `before` to read older changes." }),
  at: Type.String({ format: "date-time" }),
  kind: ChangeKindName,
  subject: Subject,
  ...facts,
  text: Type.String({ description: "One sentence in English, for people." }),
});
export type Change = Static<typeof Change>;
