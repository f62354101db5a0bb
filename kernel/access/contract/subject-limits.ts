/** Limits of a subject, as several shapes of access have them. */
import { Type, type Static } from "typebox";

/** Names in one limit: enough for the apps of a busy host, and a bound on the comparisons per request. */
const NAMES_MAX = 256;

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
