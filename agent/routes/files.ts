/** Routes of the files that the agent keeps. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { BODY_BYTES, principalOf, within } from "#http";
import { FileName, FileRequest, LocalFiles } from "../api.ts";
import { contentOfFile } from "../definitions.ts";
import type { HostFiles } from "../host-files.ts";
import { setsOf } from "../kept-file.ts";
import { OPEN, requireApp, TAGS } from "./request.ts";

const FileParams = Type.Object({ name: FileName });

export function fileRoutes(untyped: FastifyInstance, files: HostFiles): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  app.put(
    "/v1/agent/files/:name",
    {
      config: OPEN,
      bodyLimit: BODY_BYTES.value,
      schema: {
        tags: TAGS,
        summary: "Keep a config value, or a template filled in from configs, in a file of the agent's folder",
        params: FileParams,
        body: FileRequest,
      },
    },
    async (request, reply) => {
      const { params, body } = request;
      // Both the sets of the new file and those of the file that it replaces.
      for (const set of [...setsOf(contentOfFile(body)), ...files.setsOf(params.name)]) requireApp(request, set);
      return reply.code(200).send({ path: files.keep(params.name, body) });
    },
  );
  app.delete(
    "/v1/agent/files/:name",
    { config: OPEN, schema: { tags: TAGS, summary: "Stop keeping a file, and remove it", params: FileParams } },
    async (request, reply) => {
      const { params } = request;
      for (const set of files.setsOf(params.name)) requireApp(request, set);
      await files.drop(params.name);
      return reply.code(204).send();
    },
  );
  app.get(
    "/v1/agent/files",
    {
      config: OPEN,
      schema: {
        tags: TAGS,
        summary: "List the files that this agent keeps, with their state",
        response: { 200: LocalFiles },
      },
    },
    (request) => ({ files: files.list().filter(({ app }) => within(principalOf(request).limits?.apps, app)) }),
  );
}
