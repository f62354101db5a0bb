/** `posthouse join-token ls`: lists join tokens, and which node used each. */
import type { Command } from "commander";
import type { JoinTokenSummary } from "#identity/api";
import { defineListing } from "../listing.ts";
import { withExamples } from "../options.ts";
import { minuteText } from "../time-text.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withExamples(command, ["posthouse join-token", "posthouse join-token create --name web-1 --services orders"]);
  defineListing<JoinTokenSummary, undefined>(command, context, {
    columns: [
      ["ID", ({ id }) => id],
      ["KIND", ({ kind }) => kind],
      ["NAME", ({ name, used }) => used?.name ?? name ?? "any"],
      ["SERVICES", ({ services }) => services?.join(", ")],
      ["EXPIRES", ({ expiresAt }) => minuteText(expiresAt)],
      ["USED", ({ used }) => minuteText(used?.at)],
      ["BY", ({ by }) => by],
    ],
    given: () => undefined,
    rows: async (client) => (await client.identity.joinTokens()).joinTokens,
    empty: "no join token exists",
  });
}
