/** The list of sign-ins: browsers and devices that are signed in, and how they did it. */
import { Type, type Static } from "typebox";
import { PolicyNames } from "#authorization/api";

export const SignInId = Type.String({
  pattern: "^[0-9a-f]{16}-[0-9a-f]{16}$",
  description: "Names a sign-in in the list. It is not a credential.",
});

/** How a sign-in came about. */
export const SignInMethod = Type.Union([Type.Literal("token"), Type.Literal("link"), Type.Literal("oidc")], {
  description: "token: with a token · link: with a sign-in link · oidc: by OpenID Connect.",
});
export type SignInMethod = Static<typeof SignInMethod>;

export const SignInSummary = Type.Object({
  id: SignInId,
  tokenId: Type.String({ description: "The token behind it, which it ends with." }),
  name: Type.String({ description: "The person, or the name of the token." }),
  kind: Type.Union([Type.Literal("browser"), Type.Literal("device")], {
    description: "browser: a session of the console · device: a command line after `posthouse login`.",
  }),
  device: Type.Optional(Type.String({ description: "Name of the device, as it gave it." })),
  method: SignInMethod,
  policies: PolicyNames,
  since: Type.Optional(Type.String({ format: "date-time", description: "Absent: opened by an earlier version." })),
  until: Type.Optional(Type.String({ format: "date-time", description: "Absent: until its token is revoked." })),
  lastUsedAt: Type.Optional(
    Type.String({ format: "date-time", description: "To the minute. Absent: not used since it was opened." }),
  ),
  address: Type.Optional(Type.String({ description: "Where it was last used from, or opened." })),
  isCaller: Type.Boolean({ description: "Whether the caller itself is signed in by it." }),
});
export type SignInSummary = Static<typeof SignInSummary>;

export const SignInSummaries = Type.Object({ signIns: Type.Array(SignInSummary) });
export type SignInSummaries = Static<typeof SignInSummaries>;
