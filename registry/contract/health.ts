/** The part of the registry's wire contract that is about health: verdicts that are reported, and the views of them. */
import { Type, type Static } from "typebox";
import { CHECK_KINDS, CheckStatus, Id, type CheckType } from "./checks.ts";

const CheckTypeName = Type.Unsafe<CheckType>(
  Type.Union(
    Object.keys(CHECK_KINDS).map((name) => Type.Literal(name)),
    { description: "The kind of check." },
  ),
);

export const CheckView = Type.Object({
  id: Id,
  type: CheckTypeName,
  status: CheckStatus,
  since: Type.Optional(Type.String({ format: "date-time", description: "When the check took this status." })),
});
export type CheckView = Static<typeof CheckView>;

export const Report = Type.Object(
  {
    status: Type.Union([Type.Literal("passing"), Type.Literal("warning"), Type.Literal("critical")]),
    output: Type.Optional(Type.String({ maxLength: 4096, description: "The reason, for people. Not replicated." })),
  },
  { additionalProperties: false },
);
export type Report = Static<typeof Report>;

/** A verdict that an agent has reached before it registers the instance. */
export const KnownVerdict = Type.Object(
  { check: Id, status: Report.properties.status },
  { additionalProperties: false },
);
export type KnownVerdict = Static<typeof KnownVerdict>;

export const Health = Type.Object({
  status: CheckStatus,
  checks: Type.Array(Type.Object({ ...CheckView.properties, output: Type.Optional(Type.String()) })),
});
export type Health = Static<typeof Health>;

export const HealthEvent = Type.Object({
  check: Type.String(),
  at: Type.String({ format: "date-time" }),
  from: Type.Optional(CheckStatus),
  status: CheckStatus,
  output: Type.Optional(Type.String()),
});
/** An instance's health as this process remembers it, for a day at most. */
export const HealthHistory = Type.Object({
  transitions: Type.Array(HealthEvent, { description: "Changes of status, the latest first." }),
  outputs: Type.Array(
    Type.Object({
      check: Type.String(),
      status: CheckStatus,
      output: Type.String(),
      first: Type.String({ format: "date-time" }),
      last: Type.String({ format: "date-time" }),
      times: Type.Integer({ description: "How often it was repeated in a row." }),
    }),
    { description: "Outputs of probes and reports, the latest first. Equal ones in a row are one entry." },
  ),
});
export type HealthHistory = Static<typeof HealthHistory>;
