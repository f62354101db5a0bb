/** Names that appear in several shapes of access: policies of a subject, and its limits. */
import { Type, type Static } from "typebox";

/** Policies of one subject: a token, a binding. More are better written as one policy. */
export const POLICIES_PER_SUBJECT_MAX = 16;
/** Names in one limit: enough for the apps of a busy host, and a bound on the comparisons per request. */
const NAMES_MAX = 256;

export const PolicyName = Type.String({
  pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
  description: "Name of a policy: lower-case letters, digits and hyphens.",
});

export const PolicyNames = Type.Array(PolicyName, {
  minItems: 1,
  maxItems: POLICIES_PER_SUBJECT_MAX,
  uniqueItems: true,
  description: "Names of policies, built-in or stored.",
});

const Names = (description: string) =>
  Type.Array(Type.String({ pattern: "^(\\*|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$" }), {
    minItems: 1,
    maxItems: NAMES_MAX,
    uniqueItems: true,
    description,
  });

/** Limits narrow what the policies grant; `*` matches every name. */
export const subjectLimits = {
  namespaces: Type.Optional(Names("The only namespaces. Absent: all that the policies allow.")),
  apps: Type.Optional(Names("The only apps whose configs are read. Absent: all that the policies allow.")),
  services: Type.Optional(Names("The only services of which instances are registered. Absent: all.")),
};

export const SubjectLimits = Type.Object(subjectLimits);
export type SubjectLimits = Static<typeof SubjectLimits>;
