/** `posthouse config propose SET`: asks others to review the drafts of the caller. */
import type { Command } from "commander";
import { setAction } from "../config-verb.ts";
import { givenOnly, withExamples } from "../options.ts";
import { setText } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  command
    .option("--keys <keys...>", "only the drafts of these keys; absent: all your drafts")
    .option("--reason <text>", "reason of the proposal, shown to reviewers and in the history");
  withExamples(command, ["posthouse config propose orders/prod --reason 'more connections'"]);
  setAction(command, context, async ({ client, set, options, terminal }) => {
    const { keys, reason } = options as { keys?: string[]; reason?: string };
    const { id, changes } = await client.config.propose(set, givenOnly({ keys, reason }));
    // The identifier alone, so that a script can pass it on.
    terminal.out(`${id}\n`);
    terminal.err(`${setText(set)}: ${Object.keys(changes).join(", ")} proposed; another author can review it\n`);
  });
}
