/** Who may do what: tokens and who issues them, consumers and their credentials, access rules, limits. */
import { Type, type Static } from "typebox";
import { Cidr, FieldName, GATEWAY_DEFAULTS, HostName, ItemName, strict, Text } from "./words.ts";

/** Asymmetric ones only: with a shared secret each service that checks a token could also make one. */
export const Algorithm = Type.Enum([
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
]);

export const JwtProvider = Type.Object(
  {
    name: ItemName,
    issuer: Type.String({ minLength: 1, maxLength: 2048, description: "Equal to the claim `iss`." }),
    audience: Type.Array(Type.String({ minLength: 1, maxLength: 2048 }), {
      minItems: 1,
      maxItems: 64,
      description: "One of them is in the claim `aud`.",
    }),
    algorithms: Type.Array(Algorithm, { minItems: 1, maxItems: 16 }),
    jwks: Type.Optional(
      Type.Object(
        {
          url: Type.Optional(
            Type.String({
              pattern: "^https?://",
              maxLength: 2048,
              description:
                "http only on loopback. Absent: the `jwks_uri` that `issuer` + /.well-known/openid-configuration names (OpenID Connect Discovery).",
            }),
          ),
          ca: Type.Optional(Type.String({ maxLength: 65_536, description: "PEM of the CA to trust instead." })),
          caFile: Type.Optional(Type.String({ minLength: 1, maxLength: 4096, description: "The same, from a file." })),
        },
        { ...strict, description: "Where the keys come from. Absent: discovered by the issuer." },
      ),
    ),
    clockToleranceSeconds: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 60, default: GATEWAY_DEFAULTS.clockToleranceSeconds }),
    ),
    requiredClaims: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 256 }), {
        maxItems: 32,
        uniqueItems: true,
        default: [...GATEWAY_DEFAULTS.requiredClaims],
        description: "Claims that a token must have. `exp`, `iss` and `aud` are always required.",
      }),
    ),
    maxTokenAgeSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 31_536_000, description: "Since `iat`." })),
  },
  strict,
);
export type JwtProvider = Static<typeof JwtProvider>;

const ClaimName = Type.String({
  minLength: 1,
  maxLength: 256,
  description: "A claim's name, or a JSON pointer such as /realm_access/roles.",
});

export const ClaimRule = Type.Object(
  {
    claim: ClaimName,
    contains: Type.Optional({ ...Text, description: "Is it, or is among them." }),
    anyOf: Type.Optional(Type.Array(Text, { minItems: 1, maxItems: 256 })),
  },
  strict,
);
export type ClaimRule = Static<typeof ClaimRule>;

/** One way to be let in: a single rule, or a list of rules that must all hold. */
export const AclEntry = Type.Object(
  {
    name: Type.Optional(ItemName),
    claim: Type.Optional(ClaimRule.properties.claim),
    contains: ClaimRule.properties.contains,
    anyOf: ClaimRule.properties.anyOf,
    all: Type.Optional(Type.Array(ClaimRule, { minItems: 1, maxItems: 16 })),
  },
  strict,
);
export type AclEntry = Static<typeof AclEntry>;

/** Who shares one allowance. */
export const LimitedBy = Type.Union(
  [
    Type.Literal("ip"),
    Type.Literal("consumer"),
    Type.Literal("route"),
    Type.Object({ claim: ClaimName }, strict),
    Type.Object({ header: FieldName }, strict),
  ],
  { description: "An address (IPv6: its /64), a consumer, everybody, a claim's value or a header's." },
);
export type LimitedBy = Static<typeof LimitedBy>;

export const RateLimit = Type.Object(
  {
    requests: Type.Integer({ minimum: 1, maximum: 10_000_000 }),
    perSeconds: Type.Number({ minimum: 0.001, maximum: 86_400 }),
    burst: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 10_000_000,
        description: "At once, after silence; of a shared rate what comes in 100 ms at least. Default: requests.",
      }),
    ),
    by: LimitedBy,
    scope: Type.Optional(
      Type.Enum(["gateway", "cluster"], {
        default: "gateway",
        description: "Each gateway's own, or one that all gateways of the namespace share.",
      }),
    ),
  },
  strict,
);
export type RateLimit = Static<typeof RateLimit>;

export const Quota = Type.Object(
  {
    requests: Type.Integer({ minimum: 1, maximum: 1_000_000_000 }),
    per: Type.Enum(["day", "month"], { description: "Of the calendar, in UTC." }),
    by: LimitedBy,
  },
  { ...strict, description: "Counted over all gateways, and over restarts." },
);
export type Quota = Static<typeof Quota>;

export const ConcurrencyLimit = Type.Object(
  { requests: Type.Integer({ minimum: 1, maximum: 1_000_000 }), by: LimitedBy },
  { ...strict, description: "Requests at once, in this gateway." },
);
export type ConcurrencyLimit = Static<typeof ConcurrencyLimit>;

export const Consumer = Type.Object(
  {
    name: ItemName,
    groups: Type.Optional(Type.Array(ItemName, { maxItems: 64, uniqueItems: true })),
    keys: Type.Optional(
      Type.Array(
        Type.Object(
          {
            name: Type.Optional(ItemName),
            sha256: Type.String({
              pattern: "^[0-9a-f]{64}$",
              description: "Of the API key, in hex; `posthouse gateway key` makes one. The key itself is never here.",
            }),
          },
          strict,
        ),
        { maxItems: 16 },
      ),
    ),
    jwt: Type.Optional(
      Type.Array(
        Type.Object(
          { provider: ItemName, claim: Type.Optional({ ...ClaimName, default: "sub" }), value: Text },
          { ...strict, description: "Whoever has a token of this provider with this claim." },
        ),
        { maxItems: 16 },
      ),
    ),
  },
  strict,
);
export type Consumer = Static<typeof Consumer>;

export const ClientCertificates = Type.Object(
  {
    ca: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 262_144,
        description: "PEM of the CAs that clients' certificates are of.",
      }),
    ),
    caFile: Type.Optional(Type.String({ minLength: 1, maxLength: 4096, description: "The same, from a file." })),
    mode: Type.Optional(
      Type.Enum(["require", "verify-if-given"], {
        default: "require",
        description: "verify-if-given lets in who has none; one that is not trusted never.",
      }),
    ),
  },
  {
    ...strict,
    description: "Clients are asked for a certificate; services are told whose it is by x-forwarded-client-cert.",
  },
);
export type ClientCertificates = Static<typeof ClientCertificates>;

export const ServerCertificate = Type.Object(
  {
    cert: Type.Optional(Type.String({ minLength: 1, maxLength: 65_536, description: "PEM, the leaf first." })),
    certFile: Type.Optional(Type.String({ minLength: 1, maxLength: 4096, description: "The same, from a file." })),
    key: Type.Optional(
      Type.String({ minLength: 1, maxLength: 65_536, description: "PEM. In a release it is for whoever may read it." }),
    ),
    keyFile: Type.Optional(Type.String({ minLength: 1, maxLength: 4096, description: "The same, from a file." })),
  },
  strict,
);
export type ServerCertificate = Static<typeof ServerCertificate>;

export const Listener = Type.Object(
  {
    name: { ...ItemName, description: "`default` is the process's own, on the ports of its settings." },
    port: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 65_535,
        description: "Every listener but `default` has one; listeners with unlike hosts may share it.",
      }),
    ),
    tls: Type.Optional(Type.Boolean({ default: false, description: "HTTPS." })),
    certificates: Type.Optional(
      Type.Array(ServerCertificate, {
        minItems: 1,
        maxItems: 64,
        description: "The first for the name that a client asks for is shown. Absent: the gateway's.",
      }),
    ),
    clientCertificates: Type.Optional(ClientCertificates),
    hosts: Type.Optional(Type.Array(HostName, { minItems: 1, maxItems: 64, description: "Others are 404 here." })),
    attach: Type.Optional(
      Type.Enum(["all", "named"], {
        default: "all",
        description: "Also routes that name no listener, or only those that name it.",
      }),
    ),
  },
  strict,
);
export type Listener = Static<typeof Listener>;

export const TraceTrust = Type.Enum(["proxies", "all"], {
  default: "proxies",
  description:
    "Whose `traceparent` decides whether a trace is sampled: that of `trustedProxies` only, or of every client. The trace id of others is kept, and the gateway decides by its own ratio.",
});

export const TrustedProxies = Type.Array(Cidr, {
  maxItems: 256,
  description:
    "Proxies before this gateway: behind them the client is the last address of X-Forwarded-For that is none of them.",
});
