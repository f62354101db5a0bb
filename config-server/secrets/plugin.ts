/** Routes of secrets: reveal one, look who did, and see to the keys. Translates, decides nothing. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, principalOf } from "#http";
import { AUDIT_PAGE_MAX, AuditList, Revealed, RevealRequest, Rewrapped, SecretsStatus, SetName } from "../api.ts";
import type { Audit } from "./audit.ts";
import type { ConfigServer } from "../releases/config-server.ts";
import type { Rewrapper } from "./rewrap.ts";

export function secretsPlugin(
  untyped: FastifyInstance,
  { config, audit, rewrapper }: { config: ConfigServer; audit: Audit; rewrapper: Rewrapper },
): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const keys = { action: "config:keys" } as const;
  const tags = ["config secrets"];

  app.post(
    "/v1/config/:namespace/:app/:profile/reveal",
    {
      config: { action: "config:reveal" },
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags,
        summary: "One secret in the clear; who asked, and why, is recorded first",
        params: SetName,
        body: RevealRequest,
        response: { 200: Revealed },
      },
    },
    async (request, reply) => {
      const revealed = await audit.reveal(request.params, request.body, principalOf(request).name);
      return reply.header("cache-control", "no-store").send(revealed);
    },
  );

  app.get(
    "/v1/config-audit",
    {
      config: { action: "config:audit" },
      schema: {
        tags,
        summary: "Who was shown which secret, newest first",
        querystring: Type.Object(
          {
            after: Type.Optional(Type.String({ pattern: "^[0-9]{13}-[0-9a-f]{1,32}$" })),
            limit: Type.Optional(Type.Integer({ minimum: 1, maximum: AUDIT_PAGE_MAX, default: 20 })),
          },
          { additionalProperties: false },
        ),
        response: { 200: AuditList },
      },
    },
    ({ query: { after, limit = 20 } }) => audit.list({ after, limit }),
  );

  app.get(
    "/v1/config-secrets",
    {
      config: keys,
      schema: {
        tags,
        summary: "Which keys there are, how many values need each, and what cannot be read",
        response: { 200: SecretsStatus },
      },
    },
    () => rewrapper.status(),
  );

  app.post(
    "/v1/config-secrets/rewrap",
    {
      config: keys,
      schema: {
        tags,
        summary: "Read the keys anew, and bring all values under the active one",
        response: { 200: Rewrapped },
      },
    },
    async () => {
      await config.secrets.keys.reload();
      return rewrapper.rewrap();
    },
  );
}
