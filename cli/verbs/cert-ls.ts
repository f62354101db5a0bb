/** `posthouse cert ls`: lists issued certificates. */
import type { Command } from "commander";
import type { CertificateSummary } from "#identity/api";
import { defineListing } from "../listing.ts";
import { withExamples } from "../options.ts";
import { minuteText } from "../time-text.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  command.option("--spiffe-id <id>", "only certificates with this SPIFFE id");
  withExamples(command, [
    "posthouse cert",
    "posthouse cert ls --spiffe-id spiffe://posthouse/ns/default/service/orders",
  ]);
  defineListing<CertificateSummary, string | undefined>(command, context, {
    columns: [
      ["SERIAL", ({ serial }) => serial],
      ["SPIFFE ID", ({ spiffeId }) => spiffeId],
      ["EXPIRES", ({ expiresAt }) => minuteText(expiresAt)],
      ["BY", ({ by }) => by],
      ["STATE", ({ revoked }) => (revoked ? `revoked by ${revoked.by}` : "valid")],
    ],
    given: (_args, options) => options["spiffeId"] as string | undefined,
    rows: async (client, spiffeId) =>
      (await client.identity.certificates(spiffeId === undefined ? {} : { spiffeId })).certificates,
    empty: "no certificate was issued in the last day",
  });
}
