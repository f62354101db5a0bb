/**
 * Tokens of the control API and sign-ins with them: shapes and ACCESS_ codes. A token is shown once, when issued. The store keeps its
 * hash.
 */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";

export * from "./contract/bindings.ts";
export * from "./contract/check.ts";
export * from "./contract/rotation.ts";
export * from "./contract/sign-in-list.ts";

/** Names in one limit of a token: enough for the apps of a busy host, and a bound on the comparisons per request. */
export const LIMIT_NAMES_MAX = 256;
/** Longest lifetime of an expiring token: ten years, in seconds. */
export const TOKEN_TTL_SECONDS_MAX = 315_360_000;

export const Role = Type.Union(
  [
    Type.Literal("operator"),
    Type.Literal("editor"),
    Type.Literal("agent"),
    Type.Literal("gateway"),
    Type.Literal("reader"),
  ],
  {
    description:
      "operator: everything · editor: draft, propose and review config · agent: register, acknowledge, read, with its apps' secrets · " +
      "gateway: read, acknowledge, and lease from shared limits · reader: read.",
  },
);

const Names = (description: string) =>
  Type.Array(Type.String({ pattern: "^(\\*|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$" }), {
    minItems: 1,
    maxItems: LIMIT_NAMES_MAX,
    uniqueItems: true,
    description,
  });

/** Limits a token further than its role does; `*` matches every name. */
const limits = {
  namespaces: Type.Optional(Names("The only namespaces that the token can access. Absent: all namespaces.")),
  apps: Type.Optional(
    Names(
      "The only apps whose configs the token can read; for the role agent, including their secrets. " +
        "Absent: every app, for the role agent without secrets; for the role gateway: gateway.",
    ),
  ),
  services: Type.Optional(Names("The only services that the token can register instances of. Absent: all services.")),
};

export const TokenRequest = Type.Object(
  {
    name: Type.String({
      pattern: "^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,127}$",
      description:
        "Name of the holder: the author in histories. Together with the role, the owner of instances and sessions. Use one per host.",
    }),
    role: Role,
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
  role: Role,
  ...limits,
  createdAt: Type.String({ format: "date-time" }),
  expiresAt: Type.Optional(Type.String({ format: "date-time" })),
  browsers: Type.Optional(
    Type.Integer({ description: "Browsers that are signed in with it, and end with it. Absent: none." }),
  ),
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
  role: Role,
  actions: Type.Array(Type.String(), { description: "Actions that the role allows, such as config:publish." }),
  limits: Type.Optional(Type.Object(limits, { description: "Absent: no limits beyond the role." })),
};

export const CallerInfo = Type.Object({
  ...callerFields,
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
  LIMITS_NOT_ALLOWED: { status: 400, title: "Role takes no limits" },
  CODE_INVALID: { status: 401, title: "Sign-in code not valid" },
  LINK_NOT_ALLOWED: { status: 403, title: "Caller cannot make sign-in links" },
});
