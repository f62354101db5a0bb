/** `posthouse tokens`: lists tokens; `create` and `revoke` are verbs below it. */
import type { Command } from "commander";
import type { TokenSummary } from "#access/api";
import { defineListing } from "../listing.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withExamples(command, ["posthouse tokens", "posthouse tokens create host-1 --policy agent"]);
  defineListing<TokenSummary, undefined>(command, context, {
    columns: [
      ["ID", ({ id }) => id],
      ["NAME", ({ name }) => name],
      ["POLICIES", ({ policies }) => policies.join(", ")],
      ["CREATED", ({ createdAt }) => createdAt],
      ["EXPIRES", ({ expiresAt }) => expiresAt],
    ],
    given: () => undefined,
    rows: async (client) => (await client.access.tokens()).tokens,
    empty: "no token exists",
  });
}
