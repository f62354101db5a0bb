/** The routes of traffic. They translate requests and decide nothing. */
import type { FastifyInstance } from "fastify";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { BODY_BYTES, maySee, type Principal, principalOf } from "#http";
import { TRAFFIC_MINUTES_MAX, TrafficReport, TrafficView } from "./api.ts";
import type { Traffic } from "./traffic.ts";

const DEFAULT_NAMESPACE = "default";
const TAGS = ["traffic"];
const Name = Type.String({ pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" });

export function trafficPlugin(untyped: FastifyInstance, traffic: Traffic): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.post(
    "/v1/traffic",
    {
      config: { action: "traffic:report" },
      bodyLimit: BODY_BYTES.value,
      schema: {
        tags: TAGS,
        summary: "Report the traffic since the last report, as a gateway or as a client",
        querystring: Type.Object({ namespace: Type.Optional(Name) }, { additionalProperties: false }),
        body: TrafficReport,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      const { namespace = DEFAULT_NAMESPACE } = request.query;
      traffic.report(principalOf(request), namespace, request.body);
      return reply.code(204).send(null);
    },
  );

  app.get(
    "/v1/traffic",
    {
      config: { action: "registry:read", perItem: true },
      schema: {
        tags: TAGS,
        summary: "Read rates, errors and latencies by route, and the services that call each other",
        querystring: Type.Object(
          {
            namespace: Type.Optional(Name),
            minutes: Type.Optional(
              Type.Integer({
                minimum: 1,
                maximum: TRAFFIC_MINUTES_MAX,
                default: TRAFFIC_MINUTES_MAX,
                description: "Minutes back from now.",
              }),
            ),
            route: Type.Optional(Type.String({ minLength: 1, maxLength: 256, description: "Only this route." })),
            service: Type.Optional(
              Type.Unsafe<string>({
                ...Name,
                description: "Only edges from or to this service, with the called instances.",
              }),
            ),
          },
          { additionalProperties: false },
        ),
        response: { 200: TrafficView },
      },
    },
    (request) => {
      const { namespace = DEFAULT_NAMESPACE, minutes = TRAFFIC_MINUTES_MAX, route, service } = request.query;
      return visibleTraffic(principalOf(request), traffic.view({ namespace, minutes, route, service }));
    },
  );
}

/** Traffic without the routes and the services that the caller may not see. Totals are over all. */
function visibleTraffic(principal: Principal, view: TrafficView): TrafficView {
  const { namespace } = view;
  const sees = (service: string, within = namespace) =>
    maySee(principal, "registry:read", { namespace: within, service });
  return {
    ...view,
    routes: view.routes.filter(({ route }) => maySee(principal, "gateway:read", { namespace, route })),
    edges: view.edges.filter(
      ({ fromKind, from, to, toNamespace }) => sees(to, toNamespace) && (fromKind === "gateway" || sees(from)),
    ),
  };
}
