/** `posthouse token ls`: lists tokens, and when each was last used. */
import type { Command } from "commander";
import type { TokenSummary } from "#access/api";
import { defineListing } from "../listing.ts";
import { withExamples } from "../options.ts";
import { dayText, minuteText } from "../time-text.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withExamples(command, ["posthouse token", "posthouse token create host-1 --policy agent --apps orders"]);
  defineListing<TokenSummary, undefined>(command, context, {
    columns: [
      ["ID", ({ id }) => id],
      ["NAME", ({ name }) => name],
      ["POLICIES", ({ policies }) => policies.join(", ")],
      ["LAST USED", ({ lastUsedAt }) => minuteText(lastUsedAt)],
      ["EXPIRES", ({ expiresAt }) => dayText(expiresAt) ?? "never"],
    ],
    given: () => undefined,
    rows: async (client) => (await client.access.tokens()).tokens,
    empty: "no token exists",
  });
}
