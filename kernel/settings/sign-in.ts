/** Settings of the sign-in of people by OpenID Connect. */
import { Type } from "typebox";

/** Longest sign-in of a person: a working day, as for every session of a browser. Seconds. */
const SESSION_SECONDS_MAX = 43_200;
const claimName = { minLength: 1, maxLength: 128 };

export const SIGN_IN_ROWS = {
  oidcIssuer: Type.Optional(
    Type.String({
      pattern: "^https?://",
      format: "http-url",
      description:
        "Issuer of an OpenID Connect provider, as the provider spells it. People then sign in there. http only on this machine.",
    }),
  ),
  oidcClientId: Type.Optional(
    Type.String({ minLength: 1, maxLength: 512, description: "Client id of posthouse at the provider." }),
  ),
  oidcClientSecret: Type.Optional(
    Type.String({
      secret: true,
      minLength: 1,
      maxLength: 4096,
      description: "Client secret of posthouse at the provider. Absent: a public client, which PKCE protects.",
    }),
  ),
  oidcClientSecretFile: Type.Optional(
    Type.String({ minLength: 1, description: "File that has the client secret, in place of oidcClientSecret." }),
  ),
  oidcScopes: Type.Array(Type.String({ pattern: "^[!#-\\[\\]-~]{1,128}$" }), {
    default: ["openid", "profile", "email", "groups"],
    minItems: 1,
    maxItems: 32,
    description: "Scopes that the provider is asked for. Remove those that it does not know.",
  }),
  oidcGroupsClaim: Type.String({
    default: "groups",
    ...claimName,
    description: "Claim that lists the groups of a person, which bindings name.",
  }),
  oidcUserClaim: Type.Optional(
    Type.String({
      ...claimName,
      description:
        "Claim that names a person. Absent: email if it is verified, else preferred_username without an @, else sub.",
    }),
  ),
  oidcCaFile: Type.Optional(
    Type.String({ minLength: 1, description: "PEM file of the CAs of the provider, in place of the system's." }),
  ),
  oidcSessionSeconds: Type.Integer({
    default: SESSION_SECONDS_MAX,
    minimum: 60,
    maximum: SESSION_SECONDS_MAX,
    description: "How long a person stays signed in, at the console and by `posthouse login`.",
  }),
  publicUrl: Type.Optional(
    Type.String({
      pattern: "^https?://",
      format: "http-url",
      description:
        "Address of the console as browsers use it, such as https://posthouse.example. Absent: that of the control API itself.",
    }),
  ),
};
