/** Where requests go: endpoints, how one of them is chosen, and what holds between the gateway and them. */
import { Type, type Static } from "typebox";
import { GATEWAY_DEFAULTS, FieldName, ItemName, Milliseconds, ServiceName, strict, TokenName } from "./words.ts";

/** Limits of time that clusters and routes share. */
export const Timeouts = {
  headersMs: Type.Optional(Milliseconds),
  idleMs: Type.Optional(Milliseconds),
};

/** Where a service is that no registry knows. */
export const StaticEndpoint = Type.Object(
  {
    address: Type.String({
      minLength: 1,
      maxLength: 253,
      description: "An IP address, or a DNS name, of which every address is an endpoint.",
    }),
    port: Type.Integer({ minimum: 1, maximum: 65_535 }),
    protocol: Type.Optional(Type.Enum(["http", "https", "h2c", "grpc", "grpcs"], { default: "http" })),
    weight: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000, default: 100 })),
    zone: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  },
  strict,
);

/**
 * What is spoken to a cluster's endpoints. `h2` and `grpc`: HTTP/2, over TLS where the instance is registered so; `h2c`:
 * HTTP/2 in the clear; `auto`: what an https instance chooses by ALPN.
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
} as const;

export const Balance = Type.Enum(Object.keys(BALANCES) as (keyof typeof BALANCES)[], {
  default: "p2c",
  description: Object.entries(BALANCES)
    .map(([name, { description }]) => `${name}: ${description}.`)
    .join(" "),
});
export type Balance = Static<typeof Balance>;

const HashBy = Type.Union(
  [Type.Literal("ip"), Type.Object({ header: FieldName }, strict), Type.Object({ cookie: TokenName }, strict)],
  { description: "For maglev: whose requests meet the same endpoint. Default: ip. Without the header or cookie: p2c." },
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
  { ...strict, description: "When an endpoint that answers badly is passed over." },
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
        description: "Connections on their way.",
      }),
    ),
    requestsMax: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000, default: GATEWAY_DEFAULTS.requestsMax })),
    retriesMax: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000, default: GATEWAY_DEFAULTS.retriesMax })),
  },
  { ...strict, description: "Limits of the whole cluster, beyond which a request is 503 UO at once." },
);

const Adaptive = Type.Object(
  {
    min: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000, default: GATEWAY_DEFAULTS.adaptiveMin })),
    max: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000, default: GATEWAY_DEFAULTS.adaptiveMax })),
  },
  { ...strict, description: "Requests at once, found out by latency between these. Absent: requestsMax alone." },
);

export const ClusterConfig = Type.Object(
  {
    name: ItemName,
    service: Type.Optional(ServiceName),
    endpoints: Type.Optional(
      Type.Array(StaticEndpoint, {
        minItems: 1,
        maxItems: 1024,
        description: "In the place of service: always these.",
      }),
    ),
    namespace: Type.Optional(ServiceName),
    port: Type.Optional({ ...ServiceName, description: "Name of the instances' port to use; absent: their main one." }),
    tls: Type.Optional(
      Type.Object(
        {
          ca: Type.Optional(Type.String({ maxLength: 65_536, description: "PEM of the CA to trust instead." })),
          caFile: Type.Optional(Type.String({ minLength: 1, maxLength: 4096, description: "The same, from a file." })),
          serverName: Type.Optional(
            Type.String({
              minLength: 1,
              maxLength: 253,
              description: "Asked for (SNI), and verified where there are no subjectAltNames.",
            }),
          ),
          subjectAltNames: Type.Optional(
            Type.Array(Type.String({ minLength: 1, maxLength: 2048, pattern: "^[\\x21-\\x7e]+$" }), {
              minItems: 1,
              maxItems: 64,
              description: "DNS names and URIs such as spiffe://mesh/orders; a certificate has one of them, exactly.",
            }),
          ),
        },
        strict,
      ),
    ),
    protocol: Type.Optional(ClusterProtocol),
    timeouts: Type.Optional(Type.Object({ connectMs: Type.Optional(Milliseconds), ...Timeouts }, strict)),
    inFlightMax: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_536, description: "Per endpoint." })),
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
        description: "The gateway's own zone first, as far as it has the capacity; see the setting gatewayZone.",
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
        description: "With fewer healthy ones left, but not none, all are used. 0: never.",
      }),
    ),
    outlier: Type.Optional(Outlier),
    breaker: Type.Optional(Breaker),
    adaptive: Type.Optional(Adaptive),
  },
  strict,
);
export type ClusterConfig = Static<typeof ClusterConfig>;
