/** `posthouse members`. */
import type { Command } from "commander";
import type { Member } from "#registry/api";
import { defineListing } from "../listing.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  defineListing<Member, undefined>(command, context, {
    columns: [
      ["ID", ({ id }) => id],
      ["ANSWERED", ({ self }) => (self ? "yes" : undefined)],
    ],
    given: () => undefined,
    rows: async (client) => (await client.registry.members()).members,
    empty: "no member has registered itself yet; try again in a few seconds",
  });
}
