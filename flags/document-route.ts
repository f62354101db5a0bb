/** The route that shows the definitions of a flag set. Evaluations are routes of OFREP; see plugin.ts. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { SetName } from "#config-server/api";
import { FlagSetView, FlagsErrors } from "./api.ts";
import { FlagSets } from "./core/mod.ts";
import type { FlagSource } from "./plugin.ts";

export function flagDocumentRoute(untyped: FastifyInstance, { action, effective }: FlagSource): void {
  const sets = new FlagSets();
  untyped.withTypeProvider<TypeBoxTypeProvider>().get(
    "/v1/flags/:namespace/:app/:profile",
    {
      config: { action, perItem: true },
      schema: {
        tags: ["flags"],
        summary: "The definitions of a flag set: segments, variants and rules",
        params: SetName,
        response: { 200: FlagSetView },
      },
    },
    async ({ params }, reply) => {
      const found = sets.of(await effective(params, reply));
      if ("absent" in found) throw FlagsErrors.NOT_FOUND(found.absent);
      if ("problem" in found) throw FlagsErrors.UNREADABLE(found.problem);
      return { release: found.set.release, document: found.set.document };
    },
  );
}
