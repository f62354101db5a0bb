/** Routes of exports and imports. Translates, decides nothing but who may import how, and how many at a time. */
import { Readable } from "node:stream";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { can, HttpErrors, onGone, principalOf } from "#http";
import { ConfigErrors, IMPORTS_AT_ONCE_MAX, ImportQuery, ImportReport, Name, SetName, ZIP_BYTES_MAX } from "../api.ts";
import type { Transfer } from "./transfer.ts";

const ZIP = "application/zip";

export function transferPlugin(untyped: FastifyInstance, transfer: Transfer): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const read = { action: "config:read" } as const;
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
          { version: Type.Optional(Type.Integer({ minimum: 1, description: "Absent: the live one." })) },
          { additionalProperties: false },
        ),
        produces: [ZIP],
      },
    },
    async ({ params, query }, reply) => {
      const zip = await transfer.exportSet(params, query.version);
      const file = `${params.namespace}-${params.app}-${params.profile}.zip`;
      return reply
        .type(ZIP)
        .header("content-disposition", `attachment; filename="${file}"`)
        .send(Readable.from(zip, { objectMode: false }));
    },
  );

  app.get(
    "/v1/config-export",
    {
      config: read,
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
        produces: [ZIP],
      },
    },
    async ({ query }, reply) => {
      const zip = await transfer.exportSets(query);
      return reply
        .type(ZIP)
        .header("content-disposition", `attachment; filename="config.zip"`)
        .send(Readable.from(zip, { objectMode: false }));
    },
  );

  void untyped.register(async (scope) => {
    let running = 0;
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser(ZIP, { parseAs: "buffer", bodyLimit: ZIP_BYTES_MAX }, (_request, body, done) =>
      done(null, body),
    );
    scope.withTypeProvider<TypeBoxTypeProvider>().post(
      "/v1/config-import",
      {
        config: { action: "config:draft" },
        bodyLimit: ZIP_BYTES_MAX,
        schema: {
          tags,
          summary: "Import a zip: plan it, release it, or draft it; a set is replaced as a whole",
          consumes: [ZIP],
          querystring: ImportQuery,
          response: { 200: ImportReport },
        },
        // Before the body is read, since it is the body that takes the memory.
        preParsing: async (_request, reply) => {
          if (running >= IMPORTS_AT_ONCE_MAX) {
            throw ConfigErrors.IMPORT_BUSY(`${running} imports are being read here; try again in a few seconds.`);
          }
          running++;
          let over = false;
          const end = () => {
            if (!over) running--;
            over = true;
          };
          reply.raw.once("finish", end);
          onGone(reply.raw, end);
        },
      },
      async (request, reply) => {
        const principal = principalOf(request);
        const { name, role } = principal;
        if (request.query.mode === "release" && !can(principal, "config:publish")) {
          throw HttpErrors.FORBIDDEN(
            `"${name}" has the role ${role}, which may not config:publish; it may import with mode=draft.`,
            { extra: { action: "config:publish" } },
          );
        }
        const body = request.body as Uint8Array | undefined;
        const author = { name, blind: !can(principal, "config:reveal") };
        const report = await transfer.import(body ?? new Uint8Array(), request.query, author);
        if (report.mode !== "dry-run") transfer.note(report, name);
        return reply.send(report);
      },
    );
  });
}
