/** The route of the control API that explains a gateway's decision. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { BODY_BYTES } from "#http";
import { ExplainAnswer, ExplainRequest } from "../api.ts";
import type { Explainer } from "./explainer.ts";

export { Explainer } from "./explainer.ts";

export function explainPlugin(untyped: FastifyInstance, explainer: Explainer): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  app.post(
    "/v1/gateway/explain",
    {
      config: { action: "config:read" },
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags: ["gateway"],
        summary: "Explain what the gateways of a namespace would do with a request, and why",
        body: ExplainRequest,
        response: { 200: ExplainAnswer },
      },
    },
    ({ body }) => explainer.explain(body),
  );
}
