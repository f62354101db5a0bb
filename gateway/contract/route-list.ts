/** Routes in the order in which gateways compare them, for people: of the released config, or of one that is being written. */
import { Type, type Static } from "typebox";
import { ExplainAnswer, ExplainRequest } from "./explanation.ts";
import { ServiceName } from "./words.ts";

const closed = { additionalProperties: false } as const;

/** Characters of a config that is checked before its release: as many as a value of a release may have. */
const CONFIG_CHARS_MAX = 1024 * 1024;

const Place = {
  line: Type.Optional(Type.Integer({ description: "From 1; absent: not known." })),
  column: Type.Optional(Type.Integer()),
};

const PlacedProblem = Type.Object({
  pointer: Type.String({ description: "JSON pointer into the config." }),
  message: Type.String(),
  ...Place,
});
export type PlacedProblem = Static<typeof PlacedProblem>;

const RouteTarget = Type.Object({
  cluster: Type.String(),
  service: Type.Optional(Type.String({ description: "Absent: the cluster has fixed endpoints." })),
  namespace: Type.Optional(Type.String()),
  weight: Type.Integer({ description: "Its share of the requests that no `when` matches." }),
});
export type RouteTarget = Static<typeof RouteTarget>;

export const RouteView = Type.Object({
  name: Type.String(),
  hinted: Type.Boolean({ description: "It comes from the hint of a service. The routes of the config precede it." }),
  config: Type.Record(Type.String(), Type.Unknown(), {
    description: "The route, as in the config. Its schema is that of `routes` in gateway-config.schema.json.",
  }),
  targets: Type.Array(RouteTarget, { description: "Empty: the gateway answers itself." }),
  ...Place,
  lastLine: Type.Optional(Type.Integer()),
  shadowedBy: Type.Optional(
    Type.String({
      description: "The route that precedes it and matches all of its requests, so that it is never used.",
    }),
  ),
});
export type RouteView = Static<typeof RouteView>;

const listed = {
  problems: Type.Array(PlacedProblem, { description: "Why gateways reject the config; `routes` is then empty." }),
  warnings: Type.Array(PlacedProblem, {
    description: "Allowed, but most likely mistakes: routes that are never used, and hints that become no route.",
  }),
  routes: Type.Array(RouteView, { description: "In the order in which they are compared." }),
  providers: Type.Array(Type.String(), { description: "The jwt providers that a route can name." }),
  hintedServices: Type.Array(Type.String(), { description: "Services whose hints count; `*` means all others." }),
};

export const RouteList = Type.Object({
  namespace: Type.String(),
  releaseKey: Type.String({ description: "Identifies the config; empty: none is released." }),
  ...listed,
});
export type RouteList = Static<typeof RouteList>;

export const RouteListQuery = Type.Object({ namespace: Type.Optional({ ...ServiceName, default: "default" }) }, closed);

const { namespace, ...request } = ExplainRequest.properties;

export const GatewayCheckRequest = Type.Object(
  {
    namespace: Type.Optional(namespace),
    config: Type.String({ maxLength: CONFIG_CHARS_MAX, description: "The text of gateway.yaml. Nothing is released." }),
    request: Type.Optional(Type.Object(request, { ...closed, description: "A request to explain by this config." })),
  },
  closed,
);
export type GatewayCheckRequest = Static<typeof GatewayCheckRequest>;

export const GatewayCheckAnswer = Type.Object({ ...listed, explanation: Type.Optional(ExplainAnswer) });
export type GatewayCheckAnswer = Static<typeof GatewayCheckAnswer>;
