/** Clusters: their endpoints, how one is chosen, and the limits between the gateway and them. */
import { Type, type Static } from "typebox";
import { GATEWAY_DEFAULTS, FieldName, ItemName, Milliseconds, ServiceName, strict, TokenName } from "./words.ts";

/** Timeouts that clusters and routes share. */
export const Timeouts = {
  headersMs: Type.Optional(Milliseconds),
  idleMs: Type.Optional(Milliseconds),
};

/** An endpoint that is not in the registry. */
export const StaticEndpoint = Type.Object(
  {
    address: Type.String({
      minLength: 1,
      maxLength: 253,
      description: "An IP address, or a DNS name. Every address of the name is an endpoint.",
    }),
    port: Type.Integer({ minimum: 1, maximum: 65_535 }),
    protocol: Type.Optional(Type.Enum(["http", "https", "h2c", "grpc", "grpcs"], { default: "http" })),
    weight: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000, default: 100 })),
    zone: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  },
  strict,
);

/**
 * The protocol of a cluster's endpoints. `h2` and `grpc`: HTTP/2, over TLS if the instance is registered so; `h2c`: HTTP/2
 * without TLS; `auto`: https instances choose by ALPN.
 */
export const ClusterProtocol = Type.Enum(["http1", "h2", "h2c", "grpc", "auto"], {
  description: "Absent: HTTP/1.1 to http and https instances, HTTP/2 to h2c, grpc and grpcs ones.",
});
export type ClusterProtocol = Static<typeof ClusterProtocol>;

/** The balancing policies. Each row has its code in core/balancing/policies/, under the same name. */
export const BALANCES = {
  p2c: {
    usesHashBy: false,
    description:
      "of two endpoints drawn by weight, the one expected to finish sooner by requests in flight and latency",
  },
  "round-robin": { usesHashBy: false, description: "in turn, by weight" },
  "least-requests": {
    usesHashBy: false,
    description: "the endpoint with the fewest requests in flight for its weight",
  },
  maglev: { usesHashBy: true, description: "the same endpoint for the same hashBy" },
  random: { usesHashBy: false, description: "drawn by weight" },
} as const satisfies Record<string, { usesHashBy: boolean; description: string }>;

export const Balance = Type.Enum(Object.keys(BALANCES) as (keyof typeof BALANCES)[], {
  default: "p2c",
  description: Object.entries(BALANCES)
    .map(([name, { description }]) => `${name}: ${description}.`)
    .join(" "),
});
export type Balance = Static<typeof Balance>;

const HashBy = Type.Union(
  [Type.Literal("ip"), Type.Object({ header: FieldName }, strict), Type.Object({ cookie: TokenName }, strict)],
  {
    description:
      "For maglev: requests with equal values get the same endpoint. Default: ip. Requests without the header or cookie: p2c.",
  },
);

const Outlier = Type.Object(
  {
    consecutiveErrors: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 1_000, default: GATEWAY_DEFAULTS.outlierErrors, description: "0: off." }),
    ),
    ejectionSeconds: Type.Optional(
      Type.Number({ minimum: 0.1, maximum: 300, default: GATEWAY_DEFAULTS.ejectionSeconds }),
    ),
    ejectedPercentMax: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 100, default: GATEWAY_DEFAULTS.ejectedPercentMax }),
    ),
    successRate: Type.Optional(Type.Boolean({ default: true })),
  },
  { ...strict, description: "When failing endpoints are ejected for a while." },
);

const Breaker = Type.Object(
  {
    connectionsMax: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1_000_000, default: GATEWAY_DEFAULTS.connectionsMax }),
    ),
    pendingMax: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000,
        default: GATEWAY_DEFAULTS.pendingMax,
        description: "Connections that are being established.",
      }),
    ),
    requestsMax: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000, default: GATEWAY_DEFAULTS.requestsMax })),
    retriesMax: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000, default: GATEWAY_DEFAULTS.retriesMax })),
  },
  { ...strict, description: "Limits of the whole cluster. A request beyond them is answered with 503 (UO) at once." },
);

const Adaptive = Type.Object(
  {
    min: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000, default: GATEWAY_DEFAULTS.adaptiveMin })),
    max: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000, default: GATEWAY_DEFAULTS.adaptiveMax })),
  },
  {
    ...strict,
    description: "A limit of concurrent requests that follows latency, within these bounds. Absent: requestsMax alone.",
  },
);

export const Mesh = Type.Union([Type.Literal("auto"), Type.Literal("required"), Type.Literal("off")], {
  default: "auto",
  description:
    "Whether requests go to the mTLS ingress of an instance's sidecar. auto: where the instance has one and the gateway has a " +
    "certificate · required: only there · off: never. Applies to the main port of instances without TLS of their own.",
});
export type Mesh = Static<typeof Mesh>;

export const ClusterConfig = Type.Object(
  {
    name: ItemName,
    service: Type.Optional(ServiceName),
    endpoints: Type.Optional(
      Type.Array(StaticEndpoint, {
        minItems: 1,
        maxItems: 1024,
        description: "Fixed endpoints, instead of service.",
      }),
    ),
    namespace: Type.Optional(ServiceName),
    port: Type.Optional({
      ...ServiceName,
      description: "Name of the instances' port to use; absent: their main port.",
    }),
    tls: Type.Optional(
      Type.Object(
        {
          ca: Type.Optional(
            Type.String({ maxLength: 65_536, description: "PEM of the CA to trust instead of the system's." }),
          ),
          caFile: Type.Optional(Type.String({ minLength: 1, maxLength: 4096, description: "The same, from a file." })),
          serverName: Type.Optional(
            Type.String({
              minLength: 1,
              maxLength: 253,
              description: "Sent as SNI, and verified unless subjectAltNames are given.",
            }),
          ),
          subjectAltNames: Type.Optional(
            Type.Array(Type.String({ minLength: 1, maxLength: 2048, pattern: "^[\\x21-\\x7e]+$" }), {
              minItems: 1,
              maxItems: 64,
              description:
                "DNS names and URIs such as spiffe://mesh/orders. The certificate must contain one of them, exactly as given.",
            }),
          ),
        },
        strict,
      ),
    ),
    mesh: Type.Optional(Mesh),
    protocol: Type.Optional(ClusterProtocol),
    timeouts: Type.Optional(Type.Object({ connectMs: Type.Optional(Milliseconds), ...Timeouts }, strict)),
    inFlightMax: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 65_536, description: "Requests in flight per endpoint." }),
    ),
    balance: Type.Optional(Balance),
    hashBy: Type.Optional(HashBy),
    subset: Type.Optional(
      Type.Record(Type.String({ minLength: 1, maxLength: 128 }), Type.String({ maxLength: 256 }), {
        maxProperties: 16,
        description: "Only instances with all of this metadata.",
      }),
    ),
    zoneAware: Type.Optional(
      Type.Boolean({
        default: true,
        description: "Prefer the gateway's own zone as far as its capacity allows; see the setting gatewayZone.",
      }),
    ),
    slowStartSeconds: Type.Optional(
      Type.Number({ minimum: 0, maximum: 3_600, default: GATEWAY_DEFAULTS.slowStartSeconds }),
    ),
    panicPercent: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 100,
        default: GATEWAY_DEFAULTS.panicPercent,
        description:
          "With a smaller percentage of healthy instances, but at least one, all instances are used. 0: never.",
      }),
    ),
    outlier: Type.Optional(Outlier),
    breaker: Type.Optional(Breaker),
    adaptive: Type.Optional(Adaptive),
  },
  strict,
);
export type ClusterConfig = Static<typeof ClusterConfig>;
