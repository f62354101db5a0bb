/** The routes of config sources. They translate between HTTP and the sources, and decide nothing. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import { isAllowed, maySee, principalOf } from "#http";
import { Name, SourceList, SourceStatus, SourceSync } from "../api.ts";
import type { Sources } from "./sources.ts";

export function sourcesPlugin(untyped: FastifyInstance, sources: Sources): void {
  const app = untyped.withTypeProvider<TypeBoxTypeProvider>();
  const rules = { action: "config:rules" } as const;
  const tags = ["config sources"];
  const params = Type.Object({ source: Name });

  app.get(
    "/v1/config-sources",
    {
      config: { action: "config:read", about: "everything", perItem: true },
      schema: {
        tags,
        summary: "Sources, with the last released commit of each, and its problems",
        response: { 200: SourceList },
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const found = await sources.list();
      // A source without a namespace fills several, so it is for callers that may read all.
      const sees = ({ namespace }: SourceStatus) =>
        namespace === undefined
          ? isAllowed(principal, "config:read", {})
          : maySee(principal, "config:read", { namespace });
      return reply.send({ sources: found.filter(sees) });
    },
  );

  app.post(
    "/v1/config-sources/:source/sync",
    {
      config: { action: "config:publish" },
      schema: {
        tags,
        summary: "Read a source now, and release the differences",
        params,
        response: { 200: SourceSync },
      },
    },
    (request) => sources.sync(request.params.source),
  );

  app.post(
    "/v1/config-sources/:source/detach",
    {
      config: rules,
      schema: {
        tags,
        summary: "Stop mirroring a source. Its sets can then be released by any publisher",
        params,
        response: { 200: SourceStatus },
      },
    },
    (request) => sources.detach(request.params.source, principalOf(request).name),
  );

  app.post(
    "/v1/config-sources/:source/attach",
    {
      config: rules,
      schema: { tags, summary: "Mirror a detached source again", params, response: { 200: SourceStatus } },
    },
    (request) => sources.attach(request.params.source, principalOf(request).name),
  );
}
