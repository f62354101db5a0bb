/** The routes of secrets: reveal a secret, list who revealed which, and manage the keys. They decide nothing. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, maySee, principalOf } from "#http";
import {
  AUDIT_PAGE_MAX,
  AuditList,
  type AuditRecord,
  Revealed,
  RevealRequest,
  Rewrapped,
  SecretsStatus,
  SetName,
} from "../api.ts";
import type { Audit } from "./audit.ts";
import type { ConfigServer } from "../releases/config-server.ts";
import type { Rewrapper } from "./rewrap.ts";
import type { SecretKeys } from "./secret-keys.ts";

const tags = ["config secrets"];

export function secretsPlugin(
  app: FastifyInstance,
  { config, audit, rewrapper }: { config: ConfigServer; audit: Audit; rewrapper: Rewrapper },
): void {
  revealRoutes(app, audit);
  keyRoutes(app, { keys: config.secrets.keys, rewrapper });
}

function revealRoutes(untyped: FastifyInstance, audit: Audit): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();

  app.post(
    "/v1/config/:namespace/:app/:profile/reveal",
    {
      config: { action: "config:reveal" },
      bodyLimit: BODY_BYTES.command,
      schema: {
        tags,
        summary: "One secret in the clear. The caller and the reason are recorded first",
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
      config: { action: "config:audit", perItem: true, about: "everything" },
      schema: {
        tags,
        summary: "Which caller revealed which secret, newest first",
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
    async (request, reply) => {
      const { after, limit = 20 } = request.query;
      const principal = principalOf(request);
      const page = await audit.list({ after, limit });
      const sees = ({ namespace, app }: AuditRecord) => maySee(principal, "config:audit", { namespace, app });
      return reply.send({ ...page, records: page.records.filter(sees) });
    },
  );
}

function keyRoutes(untyped: FastifyInstance, { keys, rewrapper }: { keys: SecretKeys; rewrapper: Rewrapper }): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const action = { action: "config:keys" } as const;

  app.get(
    "/v1/config-secrets",
    {
      config: action,
      schema: {
        tags,
        summary: "The keys, how many values need each, and the values that cannot be read",
        response: { 200: SecretsStatus },
      },
    },
    () => rewrapper.status(),
  );

  app.post(
    "/v1/config-secrets/rewrap",
    {
      config: action,
      schema: {
        tags,
        summary: "Read the keys again, and wrap all values with the active key",
        response: { 200: Rewrapped },
      },
    },
    async () => {
      await keys.reload();
      return rewrapper.rewrap();
    },
  );
}
