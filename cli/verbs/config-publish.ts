/** `posthouse config publish SET PROPOSAL`: releases a proposal, at once or stage by stage. */
import type { Command } from "commander";
import { setAction } from "../config-verb.ts";
import { withExamples } from "../options.ts";
import { rolloutRequestOf, withRolloutOptions } from "../rollout-options.ts";
import { followRollout } from "../rollout-progress.ts";
import { setText } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withRolloutOptions(command)
    .option("--wait", "with stages: wait for the end; exit code 1 when it is rolled back")
    .option("--emergency", "release although a review is required");
  withExamples(command, [
    "posthouse config publish orders/prod 0123456789abcdef",
    "posthouse config publish orders/prod 0123456789abcdef --percent 10,50 --hold-seconds 60 --wait",
  ]);
  setAction(command, context, async ({ client, set, args: [id = ""], options, terminal }) => {
    const rollout = rolloutRequestOf(options);
    const { version } = await client.config.publishProposal(set, id, {
      ...(options["emergency"] === true ? { emergency: true } : {}),
      ...(rollout ? { rollout } : {}),
    });
    const name = `${setText(set)}@${version}`;
    terminal.out(rollout ? `the rollout of ${name} has started\n` : `${name} is released from proposal ${id}\n`);
    if (rollout && options["wait"] === true) context.exit(await followRollout(client, terminal, set, version));
  });
}
