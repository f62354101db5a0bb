/** Short-lived tokens that an agent takes for callers on its host, which then need no token of the control plane of their own. */
import { Type, type Static } from "typebox";

/** Longest life of a service token in seconds: how long it may outlive the process that took it. */
export const SERVICE_TOKEN_SECONDS_MAX = 3_600;
/** Names in one limit, as in a token's. */
const NAMES_MAX = 256;

const Names = (description: string) =>
  Type.Optional(
    Type.Array(Type.String({ pattern: "^(\\*|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$" }), {
      maxItems: NAMES_MAX,
      uniqueItems: true,
      description: `${description} Absent: those of the caller.`,
    }),
  );

const limits = {
  namespaces: Names("The only namespaces."),
  apps: Names("The only apps whose configs and secrets it reads."),
  services: Names("The only services that it registers instances of."),
};

export const ServiceTokenRequest = Type.Object(
  {
    name: Type.Optional(
      Type.String({
        pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        description:
          "Name of the local caller. Together with the agent's, the owner of instances and sessions. Absent: the host.",
      }),
    ),
    ...limits,
    ttlSeconds: Type.Integer({
      minimum: 1,
      maximum: SERVICE_TOKEN_SECONDS_MAX,
      description: "Life of the token in seconds.",
    }),
  },
  { additionalProperties: false },
);
export type ServiceTokenRequest = Static<typeof ServiceTokenRequest>;

export const ServiceToken = Type.Object({
  name: Type.String(),
  ...limits,
  expiresAt: Type.String({ format: "date-time" }),
  token: Type.String({ description: "Shown only in this response." }),
});
export type ServiceToken = Static<typeof ServiceToken>;
