/** Routes of exports: one release, or the live releases of many sets, as a zip. */
import { Readable } from "node:stream";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance, FastifyReply } from "fastify";
import { Type } from "typebox";
import { principalOf } from "#http";
import { Name, SetName } from "../api.ts";
import { readsKey, readsSet } from "../releases/key-rights.ts";
import type { Transfer } from "./transfer.ts";
import { ZIP_TYPE } from "./zip.ts";

export function exportRoutes(untyped: FastifyInstance, transfer: Transfer): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const read = { action: "config:read", perItem: true } as const;
  const tags = ["config transfer"];

  app.get(
    "/v1/config/:namespace/:app/:profile/export",
    {
      config: read,
      schema: {
        tags,
        summary: "One release of a set as a zip: a file per key, and a manifest",
        params: SetName,
        querystring: Type.Object(
          { version: Type.Optional(Type.Integer({ minimum: 1, description: "Absent: the live version." })) },
          { additionalProperties: false },
        ),
        produces: [ZIP_TYPE],
      },
    },
    async (request, reply) => {
      const { params, query } = request;
      const zip = await transfer.exportSet(params, query.version, readsKey(principalOf(request)));
      return sendZip(reply, `${params.namespace}-${params.app}-${params.profile}.zip`, zip);
    },
  );

  app.get(
    "/v1/config-export",
    {
      config: { ...read, about: "everything" },
      schema: {
        tags,
        operationId: "getExportOfSets",
        summary: "The live releases of many sets as a zip: NAMESPACE/APP/PROFILE/KEY, and a manifest; without history",
        querystring: Type.Object(
          {
            namespace: Type.Optional(Type.Unsafe<string>({ ...Name, description: "Absent: all." })),
            app: Type.Optional(Type.Unsafe<string>({ ...Name, description: "Absent: all." })),
          },
          { additionalProperties: false },
        ),
        produces: [ZIP_TYPE],
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const rights = { seesSet: readsSet(principal), sees: readsKey(principal) };
      const zip = await transfer.exportSets(request.query, rights);
      return sendZip(reply, "config.zip", zip);
    },
  );
}

function sendZip(reply: FastifyReply, file: string, zip: AsyncIterable<Uint8Array>) {
  return reply
    .type(ZIP_TYPE)
    .header("content-disposition", `attachment; filename="${file}"`)
    .send(Readable.from(zip, { objectMode: false }));
}
