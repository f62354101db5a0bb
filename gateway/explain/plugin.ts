/** The routes of the control API that explain a gateway's decision, list its routes, and check a config before its release. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { BODY_BYTES, maySee, principalOf, requireAllowed } from "#http";
import {
  ExplainAnswer,
  ExplainRequest,
  GatewayCheckAnswer,
  GatewayCheckRequest,
  GATEWAY_APP,
  RouteList,
  RouteListQuery,
} from "../api.ts";
import type { Explainer } from "./explainer.ts";

export { Explainer } from "./explainer.ts";

/** Bytes of the body of a check: a config of a megabyte, escaped as JSON. */
const CHECK_BYTES_MAX = 2 * 1024 * 1024;
const tags = ["gateway"];

export function explainPlugin(untyped: FastifyInstance, explainer: Explainer): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const read = { action: "gateway:read", perItem: true } as const;
  app.post(
    "/v1/gateway/explain",
    {
      config: read,
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags,
        summary: "Explain what the gateways of a namespace would do with a request, and why",
        body: ExplainRequest,
        response: { 200: ExplainAnswer },
      },
    },
    async (request, reply) => {
      const { namespace = "default" } = request.body;
      const answer = await explainer.explain(request.body);
      // An explanation names every route that was compared.
      for (const { route } of answer.candidates)
        requireAllowed(principalOf(request), read.action, { namespace, route });
      return reply.send(answer);
    },
  );
  app.get(
    "/v1/gateway/routes",
    {
      config: read,
      schema: {
        tags,
        summary: "Routes of a namespace's live config and of hints, in the order in which gateways compare them",
        querystring: RouteListQuery,
        response: { 200: RouteList },
      },
    },
    async (request, reply) => {
      const { namespace = "default" } = request.query;
      const principal = principalOf(request);
      const list = await explainer.routes(namespace);
      return reply.send({
        ...list,
        routes: list.routes.filter(({ name }) => maySee(principal, read.action, { namespace, route: name })),
      });
    },
  );
}

/** The schema of a config and a check of a text, for people that write one. */
export function gatewayCheckPlugin(untyped: FastifyInstance, explainer: Explainer): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  let schema: string | undefined;
  app.get(
    "/v1/gateway/schema",
    {
      config: { action: "config:read", about: "nothing" },
      schema: { tags, summary: "JSON Schema of gateway.yaml, for editors", produces: ["application/schema+json"] },
    },
    (_request, reply) => {
      schema ??= explainer.schema();
      return reply
        .serializer((text: string) => text)
        .header("cache-control", "no-cache")
        .type("application/schema+json")
        .send(schema);
    },
  );
  app.post(
    "/v1/gateway/check",
    {
      // As for a draft: its proposal is checked in the same way.
      config: { action: "config:draft", perItem: true },
      bodyLimit: CHECK_BYTES_MAX,
      schema: {
        tags,
        summary:
          "Check a gateway config without a release: its problems, its routes, and what would happen with a request",
        body: GatewayCheckRequest,
        response: { 200: GatewayCheckAnswer },
      },
    },
    (request) => {
      const { namespace = "default" } = request.body;
      requireAllowed(principalOf(request), "config:draft", { namespace, app: GATEWAY_APP }, "some");
      return explainer.check(request.body);
    },
  );
}
