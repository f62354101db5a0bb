/** Policies as routes show and take them. The rules themselves are in the contract of authorization. */
import { Type, type Static } from "typebox";
import { Policy } from "#authorization/api";

/** Stored policies: several for every team of a large organization, in a few MiB of every member. */
export const POLICIES_MAX = 1_000;

const { name, description, rules } = Policy.properties;

export const PolicyBody = Type.Object({ description, rules }, { additionalProperties: false });
export type PolicyBody = Static<typeof PolicyBody>;

export const PolicySummary = Type.Object({
  name,
  description,
  rules,
  builtIn: Type.Boolean({ description: "Whether every installation has it. It can be copied, but not changed." }),
  revision: Type.Optional(Type.Integer({ description: "For If-Match. Absent: built in." })),
  changedAt: Type.Optional(Type.String({ format: "date-time" })),
  changedBy: Type.Optional(Type.String()),
  usedBy: Type.Array(Type.String(), {
    description: "Tokens, bindings and nodes that have it, such as `token web-1 (0123456789abcdef)`.",
  }),
});
export type PolicySummary = Static<typeof PolicySummary>;

export const PolicyList = Type.Object({ policies: Type.Array(PolicySummary) });
export type PolicyList = Static<typeof PolicyList>;
