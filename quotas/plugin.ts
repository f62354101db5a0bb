/** The route of quotas. It translates requests and decides nothing. */
import type { FastifyInstance } from "fastify";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { BODY_BYTES } from "#http";
import { QuotaAnswer, QuotaRequest } from "./api.ts";
import type { Quotas } from "./quotas.ts";

const DEFAULT_NAMESPACE = "default";
const Namespace = Type.String({ pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" });

export function quotasPlugin(untyped: FastifyInstance, quotas: Quotas): void {
  untyped.withTypeProvider<TypeBoxTypeProvider>().post(
    "/v1/gateway/quotas",
    {
      config: { action: "quotas:lease" },
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags: ["gateway"],
        summary: "Lease a part of limits that gateways share",
        querystring: Type.Object({ namespace: Type.Optional(Namespace) }, { additionalProperties: false }),
        body: QuotaRequest,
        response: { 200: QuotaAnswer },
      },
    },
    async ({ query: { namespace = DEFAULT_NAMESPACE }, body }) => quotas.lease(namespace, body),
  );
}
