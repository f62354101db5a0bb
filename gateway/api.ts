/**
 * The gateway's dynamic config in Envoy's terms (listeners, routes, filters, clusters, consumers), its limits and its
 * GATEWAY_ codes. Pure, and importable by every module. The config is released as one key of the config server, or read
 * from a file. The rules beyond its shape are in core/check/config.ts.
 */
import { Type, type Static } from "typebox";
import { defineErrors } from "#base";
import {
  backend,
  CacheConfig,
  Compress,
  Cors,
  FilterUse,
  HeaderEdits,
  Mirror,
  Paths,
  Redirect,
  Respond,
  Rewrite,
  SplitEntry,
  SplitKey,
  Sticky,
} from "./contract/actions.ts";
import { ClusterConfig, Timeouts } from "./contract/clusters.ts";
import { Method, RouteMatchConfig } from "./contract/match.ts";
import {
  AclEntry,
  ConcurrencyLimit,
  Consumer,
  JwtProvider,
  Listener,
  Quota,
  RateLimit,
  TraceTrust,
  TrustedProxies,
} from "./contract/policies.ts";
import { FieldName, GATEWAY_DEFAULTS, HostName, ItemName, Milliseconds, Path, strict } from "./contract/words.ts";

export * from "./contract/actions.ts";
export * from "./contract/clusters.ts";
export * from "./contract/explanation.ts";
export * from "./contract/match.ts";
export * from "./contract/policies.ts";
export * from "./contract/route-list.ts";
export { GATEWAY_DEFAULTS, REGEX_CHARS_MAX } from "./contract/words.ts";

/** The gateway's config is released under this key of app `gateway`, profile `default`, in the gateway's namespace. */
export const GATEWAY_APP = "gateway";
export const GATEWAY_PROFILE = "default";
export const GATEWAY_KEY = "gateway.yaml";

/** Routes of one config: a list that people read from top to bottom. */
export const ROUTES_MAX = 5000;
/** Listeners of one config, each a port or part of one. As many as a Gateway of the Gateway API has. */
export const LISTENERS_MAX = 64;
/** Consumers of one config. More belong in an identity provider. */
export const CONSUMERS_MAX = 10_000;
/** The listener on the process's own ports. */
export const OWN_LISTENER = "default";
/** Bytes of a bearer token. Longer ones are rejected without parsing; identity providers stay far below. */
export const TOKEN_BYTES_MAX = 8 * 1024;

const JwtUse = Type.Object(
  {
    provider: ItemName,
    forwardClaims: Type.Optional(
      Type.Record(Type.String({ minLength: 1, maxLength: 256 }), FieldName, {
        maxProperties: 32,
        description: "Claim → request header. These headers are removed from every incoming request.",
      }),
    ),
  },
  strict,
);

/**
 * Which callers are admitted, how often, and with how much: the policies of a route, and those that a hinted route may
 * have.
 */
const policies = {
  jwt: Type.Optional(JwtUse),
  acl: Type.Optional(
    Type.Object(
      {
        allow: Type.Array(AclEntry, {
          minItems: 1,
          maxItems: 64,
          description: "A caller that satisfies one of them is admitted.",
        }),
      },
      strict,
    ),
  ),
  rateLimit: Type.Optional(RateLimit),
  quota: Type.Optional(Quota),
  concurrency: Type.Optional(ConcurrencyLimit),
  bodyBytesMax: Type.Optional(Type.Integer({ minimum: 0, maximum: 1024 ** 4 })),
  filters: Type.Optional(Type.Array(FilterUse, { maxItems: 32, description: "See the guide for the list." })),
};

const Retry = Type.Object(
  {
    attempts: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 5,
        default: GATEWAY_DEFAULTS.retryAttempts,
        description: "Further tries. Tries after a refused connection do not count.",
      }),
    ),
    on: Type.Optional(
      Type.Array(Type.Enum(["connect", "reset", "timeout"]), {
        uniqueItems: true,
        default: ["connect", "reset"],
        description:
          "connect: the service received nothing. reset: the connection ended before the answer. timeout: perTryMs or headersMs passed.",
      }),
    ),
    statuses: Type.Optional(
      Type.Array(Type.Integer({ minimum: 400, maximum: 599 }), {
        maxItems: 32,
        uniqueItems: true,
        description: "Statuses that are retried, after Retry-After if it is short. Default: none.",
      }),
    ),
    hedgeMs: Type.Optional({
      ...Milliseconds,
      description:
        "If no answer's head has arrived by then, a second endpoint receives the request as well, and the first answer is used.",
    }),
  },
  {
    ...strict,
    description:
      "Only idempotent requests without a body, or requests that no service received, are retried, within a budget.",
  },
);

export const RouteConfig = Type.Object(
  {
    name: ItemName,
    match: RouteMatchConfig,
    listeners: Type.Optional(
      Type.Array(ItemName, { minItems: 1, maxItems: 64, description: "Absent: all listeners that accept it." }),
    ),
    priority: Type.Optional(Type.Integer({ minimum: -1000, maximum: 1000, default: 0, description: "Higher first." })),
    ...backend,
    split: Type.Optional(Type.Array(SplitEntry, { minItems: 1, maxItems: 64 })),
    splitBy: Type.Optional(SplitKey),
    redirect: Type.Optional(Redirect),
    respond: Type.Optional(Respond),
    rewrite: Type.Optional(Rewrite),
    paths: Type.Optional(Paths),
    requestHeaders: Type.Optional(HeaderEdits),
    responseHeaders: Type.Optional(HeaderEdits),
    mirror: Type.Optional(Type.Array(Mirror, { minItems: 1, maxItems: 8 })),
    sticky: Type.Optional(Sticky),
    cors: Type.Optional(Cors),
    compress: Type.Optional(Compress),
    cache: Type.Optional(CacheConfig),
    ...policies,
    timeouts: Type.Optional(
      Type.Object(
        {
          connectMs: Type.Optional(Milliseconds),
          perTryMs: Type.Optional(Milliseconds),
          totalMs: Type.Optional(Milliseconds),
          ...Timeouts,
        },
        {
          ...strict,
          description:
            "perTryMs: one try, until its answer's head. totalMs: until the answer's last byte, or its head if it has no length.",
        },
      ),
    ),
    deadlineHeader: Type.Optional({
      ...FieldName,
      description:
        "Header that tells the service how many milliseconds of totalMs are left. A caller may send it to shorten its own limit.",
    }),
    retry: Type.Optional(Retry),
    importance: Type.Optional(
      Type.Enum(["critical", "normal", "low"], {
        default: "normal",
        description: "Under overload, low is rejected first, then normal.",
      }),
    ),
  },
  { ...strict, description: "A route needs one of service, cluster, split, redirect and respond." },
);
export type RouteConfig = Static<typeof RouteConfig>;

export const HintedService = Type.Object(
  {
    service: Type.String({
      pattern: "^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?|\\*)$",
      description: "* means all services that are not named.",
    }),
    within: Type.Optional(
      Type.Array(Path, { minItems: 1, maxItems: 64, description: "Prefixes within which hints must lie." }),
    ),
    hosts: Type.Optional(Type.Array(HostName, { minItems: 1, maxItems: 64 })),
    methods: Type.Optional(Type.Array(Method, { minItems: 1, uniqueItems: true })),
    ...policies,
  },
  { ...strict, description: "Restricts hints: a hint that it does not allow creates no route." },
);
export type HintedService = Static<typeof HintedService>;

export const GatewayConfig = Type.Object(
  {
    listeners: Type.Optional(Type.Array(Listener, { maxItems: LISTENERS_MAX })),
    trustedProxies: Type.Optional(TrustedProxies),
    traceTrust: Type.Optional(TraceTrust),
    jwt: Type.Optional(Type.Array(JwtProvider, { maxItems: 64 })),
    consumers: Type.Optional(Type.Array(Consumer, { maxItems: CONSUMERS_MAX })),
    clusters: Type.Optional(Type.Array(ClusterConfig, { maxItems: ROUTES_MAX })),
    routes: Type.Optional(Type.Array(RouteConfig, { maxItems: ROUTES_MAX })),
    hints: Type.Optional(
      Type.Array(HintedService, {
        maxItems: 256,
        description: "Services whose policy in the registry may create routes from its path prefixes. Absent: none.",
      }),
    ),
  },
  { ...strict, $id: "GatewayConfig" },
);
export type GatewayConfig = Static<typeof GatewayConfig>;

/** A problem of a config, and where it is. */
export interface ConfigProblem {
  /** JSON pointer into the config. */
  readonly pointer: string;
  readonly message: string;
  /** The name of the route that makes this one useless. */
  readonly shadowedBy?: string;
}

export const GatewayErrors = defineErrors("GATEWAY", {
  REQUEST_INVALID: { status: 400, title: "Request not valid" },
  PATH_INVALID: { status: 400, title: "Path not valid" },
  HOST_INVALID: { status: 400, title: "Host not valid" },
  TOKEN_MISSING: { status: 401, title: "Token missing" },
  TOKEN_INVALID: { status: 401, title: "Token not valid" },
  TOKEN_EXPIRED: { status: 401, title: "Token expired" },
  KEY_MISSING: { status: 401, title: "API key missing" },
  KEY_INVALID: { status: 401, title: "API key not valid" },
  ACCESS_DENIED: { status: 403, title: "Access denied" },
  ADDRESS_DENIED: { status: 403, title: "Address not allowed" },
  ORIGIN_DENIED: { status: 403, title: "Origin not allowed" },
  ROUTE_NOT_FOUND: { status: 404, title: "No route" },
  METHOD_NOT_ALLOWED: { status: 405, title: "Method not allowed" },
  REQUEST_TIMEOUT: { status: 408, title: "Request arrived too slowly" },
  BODY_TOO_LARGE: { status: 413, title: "Request body too large" },
  EXPECTATION_FAILED: { status: 417, title: "Expectation not supported" },
  MISDIRECTED: { status: 421, title: "Wrong connection for this host" },
  BODY_INVALID: { status: 422, title: "Request body not valid" },
  RATE_LIMITED: { status: 429, title: "Too many requests" },
  HEADERS_TOO_LARGE: { status: 431, title: "Request headers too large" },
  CLIENT_CLOSED: { status: 499, title: "Client disconnected" },
  UPGRADE_UNSUPPORTED: { status: 501, title: "Upgrade not supported" },
  UPSTREAM_UNREACHABLE: { status: 502, title: "Upstream not reachable" },
  UPSTREAM_UNTRUSTED: { status: 502, title: "Upstream certificate not trusted" },
  UPSTREAM_RESET: { status: 502, title: "Upstream closed the connection" },
  UPSTREAM_BAD_ANSWER: { status: 502, title: "Upstream answer not valid" },
  NO_ENDPOINT: { status: 503, title: "No healthy endpoint" },
  OVERLOADED: { status: 503, title: "Upstream overloaded" },
  SHED: { status: 503, title: "Gateway overloaded" },
  KEYS_UNAVAILABLE: { status: 503, title: "Token keys not available" },
  UPSTREAM_TIMEOUT: { status: 504, title: "Upstream timed out" },
  NOT_CACHED: { status: 504, title: "Not in the cache" },
  FILTER_REFUSED: { status: 403, title: "Refused by a filter" },
  FILTER_INVALID: { status: 400, title: "Filter module not valid" },
  CONFIG_INVALID: { status: 400, title: "Gateway config not valid" },
  INTERNAL: { status: 500, title: "Gateway defect" },
});
export type GatewayErrorName = keyof typeof GatewayErrors;

/**
 * Why the gateway itself answered, in the header `x-posthouse-flag`, the log and the metric. Named like Envoy's
 * response flags where there is one: NR no route, UH no healthy upstream, UF upstream connection failure, UC upstream
 * closed, UT upstream timeout, UO upstream overflow, OM overload manager, UP upstream protocol error, DC downstream
 * closed, DPE downstream protocol error, RL rate limited. Own flags: MD misdirected request, AU not authenticated, AD
 * access denied, KU keys unavailable, PL payload too large, UG upgrade unsupported, RV request not valid by its schema,
 * FR refused by a filter, NC not in the cache, IE internal error.
 */
export const GATEWAY_FLAGS = {
  REQUEST_INVALID: "DPE",
  PATH_INVALID: "DPE",
  HOST_INVALID: "DPE",
  TOKEN_MISSING: "AU",
  TOKEN_INVALID: "AU",
  TOKEN_EXPIRED: "AU",
  KEY_MISSING: "AU",
  KEY_INVALID: "AU",
  ACCESS_DENIED: "AD",
  ADDRESS_DENIED: "AD",
  ORIGIN_DENIED: "AD",
  ROUTE_NOT_FOUND: "NR",
  METHOD_NOT_ALLOWED: "NR",
  REQUEST_TIMEOUT: "DPE",
  BODY_TOO_LARGE: "PL",
  EXPECTATION_FAILED: "DPE",
  MISDIRECTED: "MD",
  BODY_INVALID: "RV",
  FILTER_REFUSED: "FR",
  FILTER_INVALID: "IE",
  CONFIG_INVALID: "IE",
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
  SHED: "OM",
  KEYS_UNAVAILABLE: "KU",
  UPSTREAM_TIMEOUT: "UT",
  NOT_CACHED: "NC",
  INTERNAL: "IE",
} as const satisfies Record<GatewayErrorName, string>;
export type GatewayFlag = (typeof GATEWAY_FLAGS)[GatewayErrorName];
