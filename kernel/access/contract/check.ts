/** Whether a principal may do an action on a resource, and the rule that decides: the answer of `posthouse acl test`. */
import { Type, type Static } from "typebox";
import { DecidingRule, PolicyNames, PolicyRule } from "#authorization/api";
import { SubjectLimits } from "./subject-limits.ts";

const Value = (description: string) => Type.Optional(Type.String({ minLength: 1, maxLength: 512, description }));

/** The fields of a resource. An absent one is a question about every value. */
export const resourceFields = {
  namespace: Value("Namespace of the resource."),
  service: Value("Name of a service."),
  app: Value("App of a config set."),
  profile: Value("Profile of a config set."),
  key: Value("Key of a config set."),
  lock: Value("Name of a lock."),
  route: Value("Name of a route of the gateway."),
  bus: Value("Name of a bus."),
};

export const AclCheckQuery = Type.Object(
  {
    action: Type.String({ minLength: 1, maxLength: 64, description: "Such as config:publish." }),
    ...resourceFields,
    token: Type.Optional(
      Type.String({ pattern: "^[0-9a-f]{16}$", description: "Id of the token to ask about. Needs access:explain." }),
    ),
    policies: Type.Optional(
      Type.String({
        maxLength: 1024,
        description: "Names of policies to ask about, separated by commas. Needs access:explain.",
      }),
    ),
    user: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 256,
        description: "User to ask about, as bindings name it. Needs access:explain.",
      }),
    ),
    groups: Type.Optional(
      Type.String({ maxLength: 4096, description: "Groups of the user, separated by commas. Needs access:explain." }),
    ),
  },
  { additionalProperties: false },
);
export type AclCheckQuery = Static<typeof AclCheckQuery>;

export const AclCheck = Type.Object({
  allowed: Type.Boolean(),
  action: Type.String(),
  resource: Type.Record(Type.String(), Type.String()),
  subject: Type.String({ description: "The principal that the answer is about, such as `token web-1`." }),
  policies: PolicyNames,
  limits: Type.Optional(SubjectLimits),
  rule: Type.Optional(DecidingRule),
  missing: Type.Optional(PolicyRule),
  limit: Type.Optional(
    Type.Union([Type.Literal("namespaces"), Type.Literal("apps"), Type.Literal("services")], {
      description: "The limit that the resource is outside of. Absent: it is within all limits.",
    }),
  ),
  why: Type.String({ description: "The decision as a sentence, for people." }),
});
export type AclCheck = Static<typeof AclCheck>;
