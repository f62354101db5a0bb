/** Tokens of the control API: shapes and ACCESS_ codes. A token is shown once, when made; the store keeps its hash. */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";

/** Longest life of a token that ends by itself: ten years, in seconds. */
export const TOKEN_TTL_SECONDS_MAX = 315_360_000;

export const Role = Type.Union(
  [Type.Literal("operator"), Type.Literal("editor"), Type.Literal("agent"), Type.Literal("reader")],
  {
    description:
      "operator: all · editor: draft, propose and review config · agent: register, read, and be told secrets · reader: read.",
  },
);

export const TokenRequest = Type.Object(
  {
    name: Type.String({
      pattern: "^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,127}$",
      description: "Whose it is: the author in histories.",
    }),
    role: Role,
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
  createdAt: Type.String({ format: "date-time" }),
  expiresAt: Type.Optional(Type.String({ format: "date-time" })),
});
export type TokenSummary = Static<typeof TokenSummary>;

export const IssuedToken = Type.Object({
  ...TokenSummary.properties,
  token: Type.String({ description: "Shown this once." }),
});
export type IssuedToken = Static<typeof IssuedToken>;

export const TokenList = Type.Object({ tokens: Type.Array(TokenSummary) });
export type TokenList = Static<typeof TokenList>;

export const AccessErrors = defineErrors("ACCESS", {
  TOKEN_NOT_FOUND: { status: 404, title: "Token not found" },
});
