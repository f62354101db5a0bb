/**
 * Tokens of the control API and sign-ins with them: shapes and ACCESS_ codes. A token is shown once, when issued. The store keeps its
 * hash.
 */
import { Type, type Static } from "typebox";
import { PolicyNames } from "#authorization/api";
import { defineErrors } from "#base";
import { tokenLife } from "./contract/rotation.ts";

export * from "./contract/bindings.ts";
export * from "./contract/check.ts";
export * from "./contract/policies.ts";
export * from "./contract/device-login.ts";
export * from "./contract/oidc.ts";
export { OVERLAP_SECONDS, OVERLAP_SECONDS_MAX, TokenRotation } from "./contract/rotation.ts";
export * from "./contract/service-tokens.ts";
export * from "./contract/sign-in-list.ts";

/** Names in one limit of a token: enough for the apps of a busy host, and a bound on the comparisons per request. */
export const LIMIT_NAMES_MAX = 256;
/** Longest lifetime of an expiring token: ten years, in seconds. */
export const TOKEN_TTL_SECONDS_MAX = 315_360_000;

const Names = (description: string) =>
  Type.Array(Type.String({ pattern: "^(\\*|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$" }), {
    minItems: 1,
    maxItems: LIMIT_NAMES_MAX,
    uniqueItems: true,
    description,
  });

/** Limits narrow what the policies of a token grant; `*` matches every name. */
const limits = {
  namespaces: Type.Optional(Names("The only namespaces that the token can access. Absent: all namespaces.")),
  apps: Type.Optional(
    Names(
      "The only apps whose configs the token can read; with the policy agent or service, including their secrets. " +
        "Absent: every app; with the policy agent or service, none; with the policy gateway, gateway.",
    ),
  ),
  services: Type.Optional(Names("The only services that the token can register instances of. Absent: all services.")),
};

export const TokenRequest = Type.Object(
  {
    name: Type.String({
      pattern: "^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,127}$",
      description:
        "Name of the holder: the author in histories. Together with the first policy, the owner of instances and sessions. " +
        "Use one per host.",
    }),
    policies: PolicyNames,
    ...limits,
    ttlSeconds: Type.Optional(
      Type.Integer({ minimum: 1, maximum: TOKEN_TTL_SECONDS_MAX, description: "Absent: until revoked." }),
    ),
  },
  { additionalProperties: false },
);
export type TokenRequest = Static<typeof TokenRequest>;

export const TokenSummary = Type.Object({
  id: Type.String(),
  name: Type.String(),
  policies: PolicyNames,
  ...limits,
  createdAt: Type.String({ format: "date-time" }),
  signIn: Type.Optional(
    Type.Union([Type.Literal("browser"), Type.Literal("device")], {
      description:
        "Made by a sign-in · browser: of a person by OpenID Connect · device: by `posthouse login`. Absent: issued by an operator.",
    }),
  ),
  expiresAt: Type.Optional(Type.String({ format: "date-time" })),
  browsers: Type.Optional(
    Type.Integer({ description: "Browsers that are signed in with it, and end with it. Absent: none." }),
  ),
  ...tokenLife,
});
export type TokenSummary = Static<typeof TokenSummary>;

export const IssuedToken = Type.Object({
  ...TokenSummary.properties,
  token: Type.String({ description: "Shown only in this response." }),
});
export type IssuedToken = Static<typeof IssuedToken>;

export const TokenList = Type.Object({ tokens: Type.Array(TokenSummary) });
export type TokenList = Static<typeof TokenList>;

/** The caller, and what it may do. */
const callerFields = {
  name: Type.String(),
  tokenId: Type.Optional(
    Type.String({ description: "Id of the token behind it, as in the list of tokens. Absent: a part of the process." }),
  ),
  policies: PolicyNames,
  actions: Type.Array(Type.String(), {
    description: "Actions that the policies allow on some resource, such as config:publish.",
  }),
  limits: Type.Optional(Type.Object(limits, { description: "Absent: no limits beyond the policies." })),
};

export const CallerInfo = Type.Object({
  ...callerFields,
  rights: Type.Array(Type.String(), {
    description: "The rules of its policies as sentences, in the words of refusals.",
  }),
  expiresAt: Type.Optional(
    Type.String({ format: "date-time", description: "End of the session or token. Absent: until revoked." }),
  ),
});
export type CallerInfo = Static<typeof CallerInfo>;

export const SignInRequest = Type.Object(
  {
    token: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
    code: Type.Optional(Type.String({ minLength: 1, maxLength: 256, description: "The code of a sign-in link." })),
  },
  { additionalProperties: false, minProperties: 1, maxProperties: 1, description: "Either a token or a code." },
);
export type SignInRequest = Static<typeof SignInRequest>;

export const SessionInfo = Type.Object({
  ...callerFields,
  csrf: Type.String({ description: "Value of the header x-posthouse-csrf for requests that are not GET or HEAD." }),
  expiresAt: Type.String({ format: "date-time" }),
});
export type SessionInfo = Static<typeof SessionInfo>;

export const SignInLink = Type.Object({
  code: Type.String({ description: "Signs in once, through POST /ui/api/session. Shown only in this response." }),
  path: Type.String({ description: "Page of the console that signs in with the code." }),
  expiresAt: Type.String({ format: "date-time" }),
});
export type SignInLink = Static<typeof SignInLink>;

export const AccessErrors = defineErrors("ACCESS", {
  TOKEN_NOT_FOUND: { status: 404, title: "Token not found" },
  SERVICE_TOKENS_FULL: { status: 409, title: "Too many service tokens of one agent" },
  LIMITS_NOT_ALLOWED: { status: 400, title: "Policy takes no limits" },
  ROTATION_NOT_POSSIBLE: { status: 409, title: "Token has no secret to rotate" },
  POLICY_NOT_FOUND: { status: 404, title: "Policy not found" },
  POLICY_INVALID: { status: 400, title: "Policy not valid" },
  POLICY_BUILT_IN: { status: 409, title: "Policy is built in" },
  POLICY_IN_USE: { status: 409, title: "Policy is in use" },
  BINDING_NOT_FOUND: { status: 404, title: "Binding not found" },
  EXCEEDS_OWN: { status: 403, title: "More than the caller has itself" },
  LOCKOUT: { status: 409, title: "Change would shut everybody out" },
  CHANGED: { status: 412, title: "Changed meanwhile" },
  TOO_MANY: { status: 409, title: "Maximum reached" },
  ACTION_UNKNOWN: { status: 400, title: "Unknown action" },
  FIELD_UNKNOWN: { status: 400, title: "Action does not have this field" },
  SUBJECT_AMBIGUOUS: { status: 400, title: "More than one subject" },
  SIGN_IN_NOT_FOUND: { status: 404, title: "Sign-in not found" },
  CODE_INVALID: { status: 401, title: "Sign-in code not valid" },
  LINK_NOT_ALLOWED: { status: 403, title: "Caller cannot make sign-in links" },
});
