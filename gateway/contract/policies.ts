/** Access and limits: tokens and their providers, consumers and their credentials, access rules, rates, listeners. */
import { Type, type Static } from "typebox";
import { Cidr, FieldName, GATEWAY_DEFAULTS, HostName, ItemName, strict, Text } from "./words.ts";

/** Asymmetric algorithms only: with a shared secret, each service that verifies a token could also issue one. */
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
    issuer: Type.String({ minLength: 1, maxLength: 2048, description: "Must equal the claim `iss`." }),
    audience: Type.Array(Type.String({ minLength: 1, maxLength: 2048 }), {
      minItems: 1,
      maxItems: 64,
      description: "The claim `aud` must contain one of them.",
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
          ca: Type.Optional(
            Type.String({ maxLength: 65_536, description: "PEM of the CA to trust instead of the system's." }),
          ),
          caFile: Type.Optional(Type.String({ minLength: 1, maxLength: 4096, description: "The same, from a file." })),
        },
        { ...strict, description: "Where the keys come from. Absent: discovered from the issuer." },
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
    maxTokenAgeSeconds: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 31_536_000, description: "Maximum age since `iat`." }),
    ),
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
    contains: Type.Optional({ ...Text, description: "The claim is this value, or is a list that contains it." }),
    anyOf: Type.Optional(Type.Array(Text, { minItems: 1, maxItems: 256 })),
  },
  strict,
);
export type ClaimRule = Static<typeof ClaimRule>;

/** One way to get access: a single rule, or a list of rules that must all hold. */
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

/** The requests that share one allowance. */
export const LimitedBy = Type.Union(
  [
    Type.Literal("ip"),
    Type.Literal("consumer"),
    Type.Literal("route"),
    Type.Object({ claim: ClaimName }, strict),
    Type.Object({ header: FieldName }, strict),
  ],
  {
    description:
      "Requests that share an allowance: of an address (IPv6: its /64), of a consumer, of the route, or with equal claims or headers.",
  },
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
        description:
          "Requests at once after a pause; for a shared rate, at least the requests of 100 ms. Default: requests.",
      }),
    ),
    by: LimitedBy,
    scope: Type.Optional(
      Type.Enum(["gateway", "cluster"], {
        default: "gateway",
        description: "gateway: each gateway counts by itself. cluster: all gateways of the namespace share one limit.",
      }),
    ),
  },
  strict,
);
export type RateLimit = Static<typeof RateLimit>;

export const Quota = Type.Object(
  {
    requests: Type.Integer({ minimum: 1, maximum: 1_000_000_000 }),
    per: Type.Enum(["day", "month"], { description: "Calendar day or month, in UTC." }),
    by: LimitedBy,
  },
  { ...strict, description: "All gateways share one count, which restarts do not reset." },
);
export type Quota = Static<typeof Quota>;

export const ConcurrencyLimit = Type.Object(
  { requests: Type.Integer({ minimum: 1, maximum: 1_000_000 }), by: LimitedBy },
  { ...strict, description: "Concurrent requests in this gateway." },
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
              description:
                "SHA-256 of the API key, in hex; `posthouse gateway key` creates one. The config never contains the key itself.",
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
          { ...strict, description: "Callers with a token of this provider and this claim value." },
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
        description: "PEM of the CAs that issue the clients' certificates.",
      }),
    ),
    caFile: Type.Optional(Type.String({ minLength: 1, maxLength: 4096, description: "The same, from a file." })),
    mode: Type.Optional(
      Type.Enum(["require", "verify-if-given"], {
        default: "require",
        description:
          "verify-if-given also accepts clients without a certificate. An untrusted certificate is always rejected.",
      }),
    ),
  },
  {
    ...strict,
    description:
      "The gateway requests a certificate from clients, and describes it to services in x-forwarded-client-cert.",
  },
);
export type ClientCertificates = Static<typeof ClientCertificates>;

export const ServerCertificate = Type.Object(
  {
    cert: Type.Optional(
      Type.String({ minLength: 1, maxLength: 65_536, description: "PEM, with the leaf certificate first." }),
    ),
    certFile: Type.Optional(Type.String({ minLength: 1, maxLength: 4096, description: "The same, from a file." })),
    key: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 65_536,
        description: "PEM. Every reader of the release can read it; prefer keyFile.",
      }),
    ),
    keyFile: Type.Optional(Type.String({ minLength: 1, maxLength: 4096, description: "The same, from a file." })),
  },
  strict,
);
export type ServerCertificate = Static<typeof ServerCertificate>;

export const Listener = Type.Object(
  {
    name: { ...ItemName, description: "`default` is the process's own listener, on the ports of its settings." },
    port: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 65_535,
        description: "Required except for `default`. Listeners with different hosts may share a port.",
      }),
    ),
    tls: Type.Optional(Type.Boolean({ default: false, description: "HTTPS." })),
    certificates: Type.Optional(
      Type.Array(ServerCertificate, {
        minItems: 1,
        maxItems: 64,
        description: "The first that covers the requested server name is used. Absent: the gateway's.",
      }),
    ),
    clientCertificates: Type.Optional(ClientCertificates),
    hosts: Type.Optional(
      Type.Array(HostName, {
        minItems: 1,
        maxItems: 64,
        description: "Requests for other hosts are answered with 404.",
      }),
    ),
    attach: Type.Optional(
      Type.Enum(["all", "named"], {
        default: "all",
        description: "all: also routes that list no listeners. named: only routes that list this one.",
      }),
    ),
  },
  strict,
);
export type Listener = Static<typeof Listener>;

export const TraceTrust = Type.Enum(["proxies", "all"], {
  default: "proxies",
  description:
    "The clients whose `traceparent` decides whether a trace is sampled: `trustedProxies` only, or all. For others the trace id is kept, and the gateway samples by its own ratio.",
});

export const TrustedProxies = Type.Array(Cidr, {
  maxItems: 256,
  description:
    "Proxies in front of this gateway. Through them, the client is the last address in X-Forwarded-For that is not one of them.",
});
