/** Routes of the rules of an environment. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, principalOf } from "#http";
import { Name, Rules } from "../api.ts";
import type { EnvironmentRules } from "./environment-rules.ts";

const PATH = "/v1/config/:namespace/rules";
const RulesParams = Type.Object({ namespace: Name });

export function rulesRoutes(untyped: FastifyInstance, environments: EnvironmentRules): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const tags = ["config changes"];

  app.get(
    PATH,
    {
      config: { action: "config:read", perItem: true },
      schema: {
        tags,
        summary: "The rules for all releases of an environment, with an ETag for changing them",
        params: RulesParams,
        response: { 200: Rules },
      },
    },
    async ({ params }, reply) => {
      const { rules, revision } = await environments.read(params.namespace);
      return reply.header("etag", `"${revision}"`).send(rules);
    },
  );

  app.put(
    PATH,
    {
      config: { action: "config:rules" },
      bodyLimit: BODY_BYTES.document,
      schema: {
        tags,
        summary: "Set whether releases of an environment require a review, and their limits",
        params: RulesParams,
        headers: Type.Object({
          "if-match": Type.Optional(
            Type.String({ pattern: '^"[0-9]{1,15}"$', description: 'Only if the ETag is still this: `"42"`.' }),
          ),
        }),
        body: Rules,
        response: { 200: Rules },
      },
    },
    async (request, reply) => {
      const match = request.headers["if-match"];
      const ifRevision = match === undefined ? undefined : Number(match.slice(1, -1));
      const by = principalOf(request).name;
      const { rules, revision } = await environments.set(request.params.namespace, request.body, { by, ifRevision });
      return reply.header("etag", `"${revision}"`).send(rules);
    },
  );
}
