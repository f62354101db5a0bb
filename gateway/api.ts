/**
 * The gateway's dynamic config in Envoy's words (jwt providers, clusters, routes), its limits and its GATEWAY_ codes.
 * Pure, importable by every room. It is released as one key of the config server; what a release must satisfy beyond
 * this shape is in core/check.ts.
 */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";

/** Where the gateway's config is released: this key of app `gateway`, profile `default`, in the gateway's namespace. */
export const GATEWAY_APP = "gateway";
export const GATEWAY_PROFILE = "default";
export const GATEWAY_KEY = "gateway.yaml";

/** Routes of one config: a linear list that people read. */
export const ROUTES_MAX = 5000;
/** Bytes of a bearer token. Longer ones are refused unread; identity providers stay far below. */
export const TOKEN_BYTES_MAX = 8 * 1024;

/** What holds where a route or cluster says nothing. */
export const GATEWAY_DEFAULTS = {
  /** Bytes of a request body. */
  bodyBytesMax: 1024 * 1024,
  /** Milliseconds until a connection to an endpoint stands. */
  connectMs: 2_000,
  /** Milliseconds from the request sent to the head of the answer. */
  headersMs: 30_000,
  /** Milliseconds of silence inside an answer. Event streams send heartbeats far more often. */
  idleMs: 300_000,
  /** Requests in flight to one endpoint; the next is refused at once, for a queue only hides an overload. */
  inFlightMax: 1024,
  /** Further tries on other endpoints. */
  retryAttempts: 1,
  /** Seconds a token's times may be off, for clocks differ. */
  clockToleranceSeconds: 30,
} as const;

const ItemName = Type.String({ pattern: "^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,62}[a-zA-Z0-9])?$", description: "Unique." });
const ServiceName = Type.String({ pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" });
const Milliseconds = Type.Integer({ minimum: 1, maximum: 86_400_000 });
const Path = Type.String({ pattern: "^/", maxLength: 2048 });
const FieldName = Type.String({ pattern: "^[A-Za-z0-9-]{1,128}$", description: "A header's name." });
const strict = { additionalProperties: false } as const;

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
    jwks: Type.Object(
      {
        url: Type.String({ pattern: "^https?://", maxLength: 2048, description: "http only on loopback." }),
        ca: Type.Optional(Type.String({ maxLength: 65_536, description: "PEM of the CA to trust instead." })),
        caFile: Type.Optional(Type.String({ minLength: 1, maxLength: 4096, description: "The same, from a file." })),
      },
      strict,
    ),
    clockToleranceSeconds: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 60, default: GATEWAY_DEFAULTS.clockToleranceSeconds }),
    ),
    maxTokenAgeSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 31_536_000, description: "Since `iat`." })),
  },
  strict,
);
export type JwtProvider = Static<typeof JwtProvider>;

const Timeouts = {
  headersMs: Type.Optional(Milliseconds),
  idleMs: Type.Optional(Milliseconds),
};

/**
 * What is spoken to a cluster's endpoints. `h2` and `grpc`: HTTP/2, over TLS where the instance is registered so; `h2c`:
 * HTTP/2 in the clear; `auto`: what an https instance chooses by ALPN.
 */
export const ClusterProtocol = Type.Enum(["http1", "h2", "h2c", "grpc", "auto"], {
  description: "Absent: HTTP/1.1 to http and https instances, HTTP/2 to h2c, grpc and grpcs ones.",
});
export type ClusterProtocol = Static<typeof ClusterProtocol>;

export const ClusterConfig = Type.Object(
  {
    name: ItemName,
    service: ServiceName,
    namespace: Type.Optional(ServiceName),
    port: Type.Optional({ ...ServiceName, description: "Name of the instances' port to use; absent: their main one." }),
    tls: Type.Optional(
      Type.Object(
        {
          ca: Type.Optional(Type.String({ maxLength: 65_536, description: "PEM of the CA to trust instead." })),
          caFile: Type.Optional(Type.String({ minLength: 1, maxLength: 4096, description: "The same, from a file." })),
          serverName: Type.Optional(
            Type.String({ minLength: 1, maxLength: 253, description: "Asked for and verified." }),
          ),
        },
        strict,
      ),
    ),
    protocol: Type.Optional(ClusterProtocol),
    timeouts: Type.Optional(Type.Object({ connectMs: Type.Optional(Milliseconds), ...Timeouts }, strict)),
    inFlightMax: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_536, description: "Per endpoint." })),
  },
  strict,
);
export type ClusterConfig = Static<typeof ClusterConfig>;

export const ClaimRule = Type.Object(
  {
    claim: Type.String({
      minLength: 1,
      maxLength: 256,
      description: "A claim's name, or a JSON pointer such as /realm_access/roles.",
    }),
    contains: Type.Optional(Type.String({ minLength: 1, maxLength: 1024, description: "Is it, or is among them." })),
    anyOf: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 1024 }), { minItems: 1, maxItems: 256 })),
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

export const RateLimit = Type.Object(
  {
    requests: Type.Integer({ minimum: 1, maximum: 10_000_000 }),
    perSeconds: Type.Number({ minimum: 0.001, maximum: 86_400 }),
    burst: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 10_000_000, description: "At once, after silence. Default: requests." }),
    ),
    by: Type.Union([Type.Literal("ip"), Type.Object({ claim: ClaimRule.properties.claim }, strict)], {
      description: "Who shares one allowance: an address (IPv6: its /64), or a claim's value.",
    }),
  },
  strict,
);
export type RateLimit = Static<typeof RateLimit>;

export const Method = Type.Enum(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

export const RouteConfig = Type.Object(
  {
    name: ItemName,
    match: Type.Object(
      {
        hosts: Type.Optional(
          Type.Array(Type.String({ minLength: 1, maxLength: 255, description: "a.example or *.example; no port." }), {
            minItems: 1,
            maxItems: 64,
          }),
        ),
        path: Type.Object(
          {
            prefix: Type.Optional(Path),
            exact: Type.Optional(Path),
          },
          { ...strict, description: "One of the two. A prefix ends at a segment's end: /a is in /a/b, not in /ab." },
        ),
        methods: Type.Optional(Type.Array(Method, { minItems: 1, uniqueItems: true })),
      },
      strict,
    ),
    priority: Type.Optional(Type.Integer({ minimum: -1000, maximum: 1000, default: 0, description: "Higher first." })),
    service: Type.Optional(ServiceName),
    cluster: Type.Optional(ItemName),
    rewrite: Type.Optional(
      Type.Object(
        { prefix: Type.String({ pattern: "^/", maxLength: 2048 }) },
        { ...strict, description: "Replaces the matched path." },
      ),
    ),
    jwt: Type.Optional(
      Type.Object(
        {
          provider: ItemName,
          forwardClaims: Type.Optional(
            Type.Record(Type.String({ minLength: 1, maxLength: 256 }), FieldName, {
              maxProperties: 32,
              description: "Claim → request header. These headers are removed from every request that comes in.",
            }),
          ),
        },
        strict,
      ),
    ),
    acl: Type.Optional(
      Type.Object(
        { allow: Type.Array(AclEntry, { minItems: 1, maxItems: 64, description: "Any one of them lets in." }) },
        strict,
      ),
    ),
    rateLimit: Type.Optional(RateLimit),
    bodyBytesMax: Type.Optional(Type.Integer({ minimum: 0, maximum: 1024 ** 4 })),
    timeouts: Type.Optional(
      Type.Object(
        { totalMs: Type.Optional(Milliseconds), ...Timeouts },
        { ...strict, description: "totalMs: to the last byte of the answer, never for event streams." },
      ),
    ),
    retry: Type.Optional(Type.Object({ attempts: Type.Integer({ minimum: 0, maximum: 5 }) }, strict)),
  },
  strict,
);
export type RouteConfig = Static<typeof RouteConfig>;

export const GatewayConfig = Type.Object(
  {
    jwt: Type.Optional(Type.Array(JwtProvider, { maxItems: 64 })),
    clusters: Type.Optional(Type.Array(ClusterConfig, { maxItems: ROUTES_MAX })),
    routes: Type.Optional(Type.Array(RouteConfig, { maxItems: ROUTES_MAX })),
  },
  { ...strict, $id: "GatewayConfig" },
);
export type GatewayConfig = Static<typeof GatewayConfig>;

/** What is wrong with a config, and where. */
export interface ConfigProblem {
  /** JSON pointer into the config. */
  readonly pointer: string;
  readonly message: string;
}

export const GatewayErrors = defineErrors("GATEWAY", {
  REQUEST_INVALID: { status: 400, title: "Request not valid" },
  PATH_INVALID: { status: 400, title: "Path not valid" },
  HOST_INVALID: { status: 400, title: "Host not valid" },
  TOKEN_MISSING: { status: 401, title: "Token missing" },
  TOKEN_INVALID: { status: 401, title: "Token not valid" },
  TOKEN_EXPIRED: { status: 401, title: "Token expired" },
  ACCESS_DENIED: { status: 403, title: "Access denied" },
  ROUTE_NOT_FOUND: { status: 404, title: "No route" },
  METHOD_NOT_ALLOWED: { status: 405, title: "Method not allowed" },
  REQUEST_TIMEOUT: { status: 408, title: "Request came too slowly" },
  BODY_TOO_LARGE: { status: 413, title: "Request body too large" },
  EXPECTATION_FAILED: { status: 417, title: "Expectation not supported" },
  RATE_LIMITED: { status: 429, title: "Too many requests" },
  HEADERS_TOO_LARGE: { status: 431, title: "Request headers too large" },
  CLIENT_CLOSED: { status: 499, title: "Client went away" },
  UPGRADE_UNSUPPORTED: { status: 501, title: "Upgrade not supported" },
  UPSTREAM_UNREACHABLE: { status: 502, title: "Upstream not reachable" },
  UPSTREAM_UNTRUSTED: { status: 502, title: "Upstream certificate not trusted" },
  UPSTREAM_RESET: { status: 502, title: "Upstream closed the connection" },
  UPSTREAM_BAD_ANSWER: { status: 502, title: "Upstream answer not valid" },
  NO_ENDPOINT: { status: 503, title: "No healthy endpoint" },
  OVERLOADED: { status: 503, title: "Upstream overloaded" },
  KEYS_UNAVAILABLE: { status: 503, title: "Token keys not available" },
  UPSTREAM_TIMEOUT: { status: 504, title: "Upstream timed out" },
  INTERNAL: { status: 500, title: "Gateway defect" },
});
export type GatewayErrorName = keyof typeof GatewayErrors;

/**
 * Why the gateway itself answered, in the header `x-posthouse-flag`, the log and the metric; after Envoy's response
 * flags where it has one: NR no route, UH no healthy upstream, UF upstream connection failure, UC upstream closed,
 * UT upstream timeout, UO upstream overflow, UP upstream protocol error, DC downstream closed, DPE downstream protocol
 * error, RL rate limited. Ours: AU not authenticated, AD access denied, KU keys unavailable, PL payload too large,
 * UG upgrade unsupported, IE internal error.
 */
export const GATEWAY_FLAGS = {
  REQUEST_INVALID: "DPE",
  PATH_INVALID: "DPE",
  HOST_INVALID: "DPE",
  TOKEN_MISSING: "AU",
  TOKEN_INVALID: "AU",
  TOKEN_EXPIRED: "AU",
  ACCESS_DENIED: "AD",
  ROUTE_NOT_FOUND: "NR",
  METHOD_NOT_ALLOWED: "NR",
  REQUEST_TIMEOUT: "DPE",
  BODY_TOO_LARGE: "PL",
  EXPECTATION_FAILED: "DPE",
  RATE_LIMITED: "RL",
  HEADERS_TOO_LARGE: "DPE",
  CLIENT_CLOSED: "DC",
  UPGRADE_UNSUPPORTED: "UG",
  UPSTREAM_UNREACHABLE: "UF",
  UPSTREAM_UNTRUSTED: "UF",
  UPSTREAM_RESET: "UC",
  UPSTREAM_BAD_ANSWER: "UP",
  NO_ENDPOINT: "UH",
  OVERLOADED: "UO",
  KEYS_UNAVAILABLE: "KU",
  UPSTREAM_TIMEOUT: "UT",
  INTERNAL: "IE",
} as const satisfies Record<GatewayErrorName, string>;
export type GatewayFlag = (typeof GATEWAY_FLAGS)[GatewayErrorName];
