/**
 * The part of the registry's wire contract that is about health: how a check is stated, what is reported and what is
 * seen of it. The agent's contract is built on the same shapes.
 */
import { Type, type Static } from "typebox";

/** Checks of one instance: each costs a probe and a key. */
export const CHECKS_PER_INSTANCE_MAX = 16;

export const Id = Type.String({
  pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
  description: "Letters, digits, dot, underscore and dash; at most 128.",
});

export const CheckStatus = Type.Union(
  [Type.Literal("passing"), Type.Literal("warning"), Type.Literal("critical"), Type.Literal("unknown")],
  { description: "The verdict on a check. unknown: never judged yet." },
);
export type CheckStatus = Static<typeof CheckStatus>;

const Thresholds = {
  rise: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 100, default: 1, description: "Good probes in a row that turn it passing." }),
  ),
  fall: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 100, default: 3, description: "Bad probes in a row that turn it critical." }),
  ),
};

export const TtlCheck = Type.Object(
  {
    id: Id,
    type: Type.Literal("ttl"),
    ttlSeconds: Type.Integer({ minimum: 1, maximum: 86_400, description: "Critical when not reported for so long." }),
  },
  { additionalProperties: false },
);

export const HttpCheck = Type.Object(
  {
    id: Id,
    type: Type.Literal("http"),
    url: Type.Optional(Type.String({ format: "uri", pattern: "^https?://", maxLength: 2048 })),
    path: Type.Optional(
      Type.String({ pattern: "^/", maxLength: 2048, description: "Instead of url: on the instance itself." }),
    ),
    method: Type.Optional(Type.Union([Type.Literal("GET"), Type.Literal("HEAD")], { default: "GET" })),
    intervalSeconds: Type.Optional(Type.Number({ minimum: 0.1, maximum: 86_400, default: 10 })),
    timeoutSeconds: Type.Optional(Type.Number({ minimum: 0.05, maximum: 300, default: 5 })),
    ...Thresholds,
  },
  { additionalProperties: false },
);

export type HttpCheck = Static<typeof HttpCheck>;
export type Check = Static<typeof TtlCheck> | HttpCheck;
/** The type says which of the shapes holds, so that a mistake is told of that one and not of the first. */
export const Check = Type.Unsafe<Check>({
  type: "object",
  description: "How an instance's health is judged.",
  required: ["type"],
  discriminator: { propertyName: "type" },
  oneOf: [TtlCheck, HttpCheck],
});

export const CheckView = Type.Object({
  id: Id,
  type: Type.Union([Type.Literal("ttl"), Type.Literal("http")]),
  status: CheckStatus,
  since: Type.Optional(Type.String({ format: "date-time", description: "When it took this status." })),
});
export type CheckView = Static<typeof CheckView>;

export const Report = Type.Object(
  {
    status: Type.Union([Type.Literal("passing"), Type.Literal("warning"), Type.Literal("critical")]),
    output: Type.Optional(Type.String({ maxLength: 4096, description: "Why, for people. Not replicated." })),
  },
  { additionalProperties: false },
);
export type Report = Static<typeof Report>;

export const Health = Type.Object({
  status: CheckStatus,
  checks: Type.Array(Type.Object({ ...CheckView.properties, output: Type.Optional(Type.String()) })),
});
