/** `posthouse config releases`. */
import type { Command } from "commander";
import type { SetSummary } from "#config-server/api";
import { defineListing } from "../listing.ts";
import { setText } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  command.option("--namespace <name>", "only this namespace");
  defineListing<SetSummary, string | undefined>(command, context, {
    columns: [
      ["SET", (set) => setText(set)],
      ["VERSION", ({ version }) => version],
      ["HASH", ({ hash }) => hash],
      ["ROLLOUT", ({ rollout }) => rollout],
    ],
    given: (_args, { namespace }) => namespace as string | undefined,
    rows: async (client, namespace) => (await client.config.sets(namespace)).sets,
    empty: "nothing is released; release a first key with: posthouse config put APP KEY FILE",
  });
}
