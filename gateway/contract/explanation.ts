/** What is asked of `POST /v1/gateway/explain`, and what it tells. */
import { Type, type Static } from "typebox";
import { ItemName, ServiceName } from "./words.ts";

const closed = { additionalProperties: false } as const;

export const ExplainRequest = Type.Object(
  {
    namespace: Type.Optional({ ...ServiceName, default: "default", description: "Of the gateway's config." }),
    method: Type.Optional(Type.String({ pattern: "^[A-Z][A-Z-]{0,15}$", default: "GET" })),
    url: Type.String({ pattern: "^https?://", maxLength: 16_384, description: "As a client would ask for it." }),
    headers: Type.Optional(
      Type.Array(
        Type.Object(
          {
            name: Type.String({ pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$" }),
            value: Type.String({ maxLength: 16_384 }),
          },
          closed,
        ),
        { maxItems: 200, description: "Never told again when they are secrets." },
      ),
    ),
    peer: Type.Optional(
      Type.String({ maxLength: 64, default: "127.0.0.1", description: "Address that the connection comes from." }),
    ),
    listener: Type.Optional({ ...ItemName, default: "default" }),
    zone: Type.Optional(
      Type.String({ minLength: 1, maxLength: 64, description: "Of the gateway; absent: as one without a zone." }),
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
  readiness: Type.Number({ description: "0 to 1: how much of its weight counts while it starts slowly." }),
  inFlight: Type.Integer(),
  latencyMs: Type.Optional(
    Type.Number({ description: "To the head of an answer, as the balancer sees it; absent: none came yet." }),
  ),
  ejectedMs: Type.Optional(Type.Number({ description: "For how long it is still ejected." })),
  avoidedMs: Type.Optional(
    Type.Number({ description: "For how long it is still passed over, for it refused a connection." }),
  ),
  silent: Type.Optional(
    Type.Boolean({ description: "It let a connection hang, and is sent nothing before one stands." }),
  ),
});
export type EndpointView = Static<typeof EndpointView>;

/** What a cluster is like in a gateway at a moment. */
export const ClusterView = Type.Object({
  balance: Type.String(),
  panic: Type.Boolean({ description: "So few are healthy that all are used." }),
  nearShare: Type.Optional(
    Type.Number({ description: "Share of the requests that stay in the gateway's zone; absent: zones do not matter." }),
  ),
  breaker: Type.Object({ requests: Use, retries: Use, connections: Use, pending: Use }),
  adaptiveLimit: Type.Optional(
    Type.Number({ description: "Requests at once, as latency allows them; absent: not asked for." }),
  ),
  endpoints: Type.Array(EndpointView),
});
export type ClusterView = Static<typeof ClusterView>;

export const ExplainAnswer = Type.Object({
  releaseKey: Type.String({ description: "Names the config that was asked; empty: none is released." }),
  request: Type.Object({
    method: Type.String(),
    host: Type.String(),
    path: Type.String({ description: "Canonical." }),
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
    { description: "In the order that they are asked, the closest first; a hundred at most." },
  ),
  steps: Type.Array(
    Type.Object({ step: Type.String(), verdict: Type.Enum(["pass", "refuse", "answer"]), detail: Type.String() }),
    { description: "What each policy says, in order." },
  ),
  endpoints: Type.Array(
    Type.Object({
      cluster: Type.String(),
      id: Type.String(),
      address: Type.String(),
      weight: Type.Integer(),
      status: Type.String(),
      lifecycle: Type.String(),
      usable: Type.Boolean({ description: "Whether a gateway may send it anything." }),
    }),
  ),
  clusters: Type.Optional(
    Type.Record(Type.String(), ClusterView, {
      description:
        "What the gateway in the process that was asked sees of the route's clusters now, over all of its workers; absent: it has none.",
    }),
  ),
  outcome: Type.Object(
    {
      kind: Type.Enum(["forward", "answer", "refuse"]),
      route: Type.Optional(Type.String()),
      cluster: Type.Optional(Type.String()),
      endpoint: Type.Optional(Type.String({ description: "The one of this draw; the next request may have another." })),
      target: Type.Optional(Type.String()),
      headers: Type.Optional(Headers),
      mirrors: Type.Optional(Type.Array(Type.String())),
      status: Type.Optional(Type.Integer()),
      code: Type.Optional(Type.String()),
      flag: Type.Optional(Type.String()),
      detail: Type.Optional(Type.String()),
    },
    { description: "What would happen." },
  ),
});
export type ExplainAnswer = Static<typeof ExplainAnswer>;
