/** `posthouse config proposals ls SET`: the proposals of a set, newest first. */
import type { Command } from "commander";
import type { Proposal, SetName } from "#config-server/api";
import { defineListing } from "../listing.ts";
import { withExamples } from "../options.ts";
import { proposalState } from "../proposal-state.ts";
import { parseSetName, withNamespaceOfSet } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withNamespaceOfSet(command);
  withExamples(command, ["posthouse config proposals ls orders/prod"]);
  defineListing<Proposal, SetName>(command, context, {
    columns: [
      ["PROPOSAL", ({ id }) => id],
      ["STATE", proposalState],
      ["AUTHOR", ({ author }) => author],
      ["CREATED", ({ createdAt }) => createdAt],
      ["KEYS", ({ changes }) => Object.keys(changes).join(",")],
      ["RELEASE", ({ version }) => version],
      ["REASON", ({ reason }) => reason],
    ],
    given: ([set = ""], { namespace }, home) => parseSetName(set, namespace as string | undefined, home),
    rows: async (client, set) => (await client.config.proposals(set)).proposals,
    empty: "this set has no proposal; propose your drafts with: posthouse config propose SET",
  });
}
