/** The route that answers who may do what, and why. Everyone may ask about themselves; asking about others needs access:explain. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { type Principal, principalOf, requireSome } from "#http";
import type { Access } from "./access.ts";
import { type AclSubject, checkAccess } from "./acl-check.ts";
import { AccessErrors, AclCheck, AclCheckQuery } from "./api.ts";
import { requirePolicies } from "./policy-lookup.ts";

export function aclPlugin(untyped: FastifyInstance, access: Access): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  app.get(
    "/v1/acl/check",
    {
      // The names are a question and not what the request reads.
      config: { action: "self", about: "nothing" },
      schema: {
        tags: ["access"],
        summary: "Whether the caller, a token, a person or a set of policies may do an action on a resource, and why",
        querystring: AclCheckQuery,
        response: { 200: AclCheck },
      },
    },
    (request) => checkAccess(subjectOf(access, principalOf(request), request.query), request.query),
  );
}

/** @throws HTTP_FORBIDDEN, ACCESS_SUBJECT_AMBIGUOUS, ACCESS_TOKEN_NOT_FOUND, ACCESS_POLICY_NOT_FOUND */
function subjectOf(access: Access, caller: Principal, { token, policies, user, groups }: AclCheckQuery): AclSubject {
  const isPerson = user !== undefined || groups !== undefined;
  const asked = [token !== undefined, policies !== undefined, isPerson].filter(Boolean).length;
  if (asked === 0) return { ...caller, text: `the caller "${caller.name}"` };
  requireSome(caller, "access:explain");
  if (asked > 1) {
    throw AccessErrors.SUBJECT_AMBIGUOUS(
      "Ask about a token, about policies, or about a user with groups: one of them.",
    );
  }
  if (token !== undefined) return { ...access.principalOfToken(token), text: `token ${token}` };
  if (policies !== undefined) {
    const names = listed(policies);
    requirePolicies(names, access.policies.all);
    return { text: `policies ${names.join(", ")}`, policies: names, rights: access.book.rightsOf(names) };
  }
  const person = { user: user ?? "", groups: listed(groups ?? "") };
  const found = access.grants.policiesOf(person) ?? { policies: [] };
  const text = [user === undefined ? [] : `user ${user}`, ...person.groups.map((group) => `group ${group}`)].join(", ");
  return { ...found, rights: access.book.rightsOf(found.policies), text };
}

function listed(text: string): string[] {
  return [...new Set(text.split(",").map((name) => name.trim()))].filter((name) => name !== "");
}
