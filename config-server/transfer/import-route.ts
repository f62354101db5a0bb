/** The route of imports. Decides which callers may import how, and how many imports run at a time. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { can, HttpErrors, onGone, principalOf, requireAllowed } from "#http";
import { ConfigErrors, IMPORTS_AT_ONCE_MAX, ImportQuery, ImportReport, ZIP_BYTES_MAX } from "../api.ts";
import { authorOf } from "../proposals/author.ts";
import { keyPermit } from "../releases/key-rights.ts";
import type { ImportAuthor, Transfer } from "./transfer.ts";
import { ZIP_TYPE } from "./zip.ts";

/** Register it in a scope of its own: it accepts zip bodies only. */
export function importRoute(scope: FastifyInstance, transfer: Transfer): void {
  const begin = importLimit();
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser(ZIP_TYPE, { parseAs: "buffer", bodyLimit: ZIP_BYTES_MAX }, (_request, body, done) =>
    done(null, body),
  );
  scope.withTypeProvider<TypeBoxTypeProvider>().post(
    "/v1/config-import",
    {
      config: { action: "config:draft", about: "everything", perItem: true },
      bodyLimit: ZIP_BYTES_MAX,
      schema: {
        tags: ["config transfer"],
        summary: "Import a zip: plan it, release it, or draft it. Each set is replaced as a whole",
        consumes: [ZIP_TYPE],
        querystring: ImportQuery,
        response: { 200: ImportReport },
      },
      // Before the body is read, since the body takes the memory.
      preParsing: async (_request, reply) => begin(reply),
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const { name } = principal;
      if (request.query.mode === "release" && !can(principal, "config:publish")) {
        throw HttpErrors.FORBIDDEN(`"${name}" is not allowed config:publish. Import with mode=draft instead.`, {
          extra: { action: "config:publish" },
        });
      }
      const body = request.body as Uint8Array | undefined;
      const report = await transfer.import(body ?? new Uint8Array(), request.query, importAuthor(request));
      if (report.mode !== "dry-run") transfer.note(report, name);
      return reply.send(report);
    },
  );
}

/** A draft or a plan changes and shows keys as a draft does; a release needs more. */
function importAuthor(request: FastifyRequest<{ Querystring: ImportQuery }>): ImportAuthor {
  const principal = principalOf(request);
  const { mode } = request.query;
  // Where a review is required, an import with mode=release makes a proposal.
  const action = mode === "release" ? "config:publish" : "config:draft";
  const permit = keyPermit(principal, action);
  const reads = keyPermit(principal, "config:read");
  return {
    ...authorOf(request),
    permitSet: ({ namespace, app, profile }) => {
      for (const one of [action, "config:read"] as const) {
        requireAllowed(principal, one, { namespace, app, profile }, "some");
      }
    },
    permitKeys: (name, keys) => {
      permit?.(name, keys);
      reads?.(name, keys);
    },
    publishPermit: keyPermit(principal, "config:publish"),
  };
}

/** Counts an import until its reply has ended. The returned function throws CONFIG_IMPORT_BUSY when too many are running. */
function importLimit(): (reply: FastifyReply) => void {
  let running = 0;
  return (reply) => {
    if (running >= IMPORTS_AT_ONCE_MAX) {
      throw ConfigErrors.IMPORT_BUSY(`${running} imports are already running here. Try again in a few seconds.`);
    }
    running++;
    let over = false;
    const end = () => {
      if (!over) running--;
      over = true;
    };
    reply.raw.once("finish", end);
    onGone(reply.raw, end);
  };
}
