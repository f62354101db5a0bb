/** Request and response of `POST /v1/gateway/explain`. */
import { Type, type Static } from "typebox";
import { ItemName, ServiceName } from "./words.ts";

const closed = { additionalProperties: false } as const;

export const ExplainRequest = Type.Object(
  {
    namespace: Type.Optional({
      ...ServiceName,
      default: "default",
      description: "The namespace of the gateway's config.",
    }),
    method: Type.Optional(Type.String({ pattern: "^[A-Z][A-Z-]{0,15}$", default: "GET" })),
    url: Type.String({ pattern: "^https?://", maxLength: 16_384, description: "The URL as a client would send it." }),
    headers: Type.Optional(
      Type.Array(
        Type.Object(
          {
            name: Type.String({ pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$" }),
            value: Type.String({ maxLength: 16_384 }),
          },
          closed,
        ),
        { maxItems: 200, description: "Secrets are never returned." },
      ),
    ),
    peer: Type.Optional(
      Type.String({ maxLength: 64, default: "127.0.0.1", description: "The address that the connection comes from." }),
    ),
    listener: Type.Optional({ ...ItemName, default: "default" }),
    zone: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 64,
        description: "The gateway's zone; absent: as a gateway without a zone.",
      }),
    ),
  },
  closed,
);
export type ExplainRequest = Static<typeof ExplainRequest>;

const Headers = Type.Record(Type.String(), Type.String(), { description: "Secrets are hidden." });

const Use = Type.Object({ now: Type.Integer(), max: Type.Integer() });

const EndpointView = Type.Object({
  id: Type.String(),
  address: Type.String(),
  zone: Type.Optional(Type.String()),
  weight: Type.Integer(),
  readiness: Type.Number({ description: "0 to 1: the part of its weight that counts during its slow start." }),
  inFlight: Type.Integer(),
  latencyMs: Type.Optional(
    Type.Number({
      description: "Milliseconds to the head of an answer, as the balancer counts it; absent: no answer yet.",
    }),
  ),
  ejectedMs: Type.Optional(Type.Number({ description: "Milliseconds for which it is still ejected." })),
  avoidedMs: Type.Optional(
    Type.Number({ description: "Milliseconds for which it is still avoided after it refused a connection." }),
  ),
  silent: Type.Optional(
    Type.Boolean({ description: "A connection timed out. It receives no request until a test connection succeeds." }),
  ),
});
export type EndpointView = Static<typeof EndpointView>;

/** The state of a cluster in one gateway. */
export const ClusterView = Type.Object({
  balance: Type.String(),
  panic: Type.Boolean({ description: "So few instances are healthy that all are used." }),
  nearShare: Type.Optional(
    Type.Number({ description: "Share of the requests that stay in the gateway's zone; absent: zones are not used." }),
  ),
  breaker: Type.Object({ requests: Use, retries: Use, connections: Use, pending: Use }),
  adaptiveLimit: Type.Optional(
    Type.Number({ description: "The current adaptive limit of concurrent requests; absent: the cluster has none." }),
  ),
  endpoints: Type.Array(EndpointView),
});
export type ClusterView = Static<typeof ClusterView>;

export const ExplainAnswer = Type.Object({
  releaseKey: Type.String({ description: "Identifies the config that was used; empty: none is released." }),
  request: Type.Object({
    method: Type.String(),
    host: Type.String(),
    path: Type.String({ description: "The canonical path." }),
    client: Type.String(),
    listener: Type.String(),
  }),
  candidates: Type.Array(
    Type.Object({
      route: Type.String(),
      host: Type.String(),
      path: Type.String(),
      priority: Type.Integer(),
      verdict: Type.Enum(["chosen", "lost"]),
      reason: Type.String(),
    }),
    { description: "In the order in which they are compared, the closest match first; at most 100." },
  ),
  steps: Type.Array(
    Type.Object({ step: Type.String(), verdict: Type.Enum(["pass", "refuse", "answer"]), detail: Type.String() }),
    { description: "The result of each policy, in order." },
  ),
  endpoints: Type.Array(
    Type.Object({
      cluster: Type.String(),
      id: Type.String(),
      address: Type.String(),
      weight: Type.Integer(),
      status: Type.String(),
      lifecycle: Type.String(),
      usable: Type.Boolean({ description: "Whether a gateway may send it requests." }),
    }),
  ),
  clusters: Type.Optional(
    Type.Record(Type.String(), ClusterView, {
      description:
        "The route's clusters as the gateway of this process sees them now, over all of its workers; absent: this process has no gateway.",
    }),
  ),
  outcome: Type.Object(
    {
      kind: Type.Enum(["forward", "answer", "refuse"]),
      route: Type.Optional(Type.String()),
      cluster: Type.Optional(Type.String()),
      endpoint: Type.Optional(
        Type.String({ description: "The endpoint of this draw; the next request may get another one." }),
      ),
      target: Type.Optional(Type.String()),
      headers: Type.Optional(Headers),
      mirrors: Type.Optional(Type.Array(Type.String())),
      status: Type.Optional(Type.Integer()),
      code: Type.Optional(Type.String()),
      flag: Type.Optional(Type.String()),
      detail: Type.Optional(Type.String()),
    },
    { description: "The result that the client would get." },
  ),
});
export type ExplainAnswer = Static<typeof ExplainAnswer>;
