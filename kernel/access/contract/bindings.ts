/** Bindings: the policies of people who sign in by OpenID Connect, by their name or by a group of theirs. */
import { Type, type Static } from "typebox";
import { PolicyNames } from "#authorization/api";
import { subjectLimits } from "./subject-limits.ts";

/** Bindings in a control plane: the groups and people of a large organization, in a few hundred KiB of every member. */
export const BINDINGS_MAX = 2_000;

export const BindingSubject = Type.String({
  pattern: "^(group|user):[^\\u0000-\\u001f\\u007f]{1,250}$",
  description: "`group:NAME` or `user:NAME`, as the identity provider spells the name.",
});

export const BindingBody = Type.Object(
  { policies: PolicyNames, ...subjectLimits },
  { additionalProperties: false, description: "The policies of the subject, and what narrows them." },
);
export type BindingBody = Static<typeof BindingBody>;

export const Binding = Type.Object({
  subject: BindingSubject,
  ...BindingBody.properties,
  revision: Type.Integer({ description: "For If-Match." }),
  changedAt: Type.String({ format: "date-time" }),
  changedBy: Type.String(),
});
export type Binding = Static<typeof Binding>;

export const BindingList = Type.Object({ bindings: Type.Array(Binding) });
export type BindingList = Static<typeof BindingList>;
