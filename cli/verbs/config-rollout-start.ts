/** `posthouse config rollout start SET KEY [FILE]`: releases a key stage by stage. */
import type { Command } from "commander";
import { REASON, setAction } from "../config-verb.ts";
import { CliErrors } from "../errors.ts";
import { readInput } from "../input.ts";
import { itemOf, releaseChanged } from "../live-set.ts";
import { casOption, givenOnly, withExamples } from "../options.ts";
import { rolloutRequestOf, withRolloutOptions } from "../rollout-options.ts";
import { followRollout } from "../rollout-progress.ts";
import { setText } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

interface StartOptions {
  readonly reason?: string;
  readonly cas?: number;
  readonly wait?: boolean;
}

export function define(command: Command, context: VerbContext): void {
  withRolloutOptions(command)
    .option("--cas <version>", "only if this is the live version of the set", casOption)
    .option("--wait", "wait for the end; exit code 1 when it is rolled back")
    .option(...REASON);
  withExamples(command, [
    "posthouse config rollout start orders/prod app.yaml app.yaml --percent 10,50 --hold-seconds 60 --wait",
  ]);
  setAction(command, context, async ({ client, set, args: [key = "", file], options, terminal }) => {
    const { cas, reason, wait } = options as StartOptions;
    const rollout = rolloutRequestOf(options);
    if (!rollout) {
      throw CliErrors.ARGUMENT_INVALID("A rollout needs a stage. Give --percent 10,50, --instances or --labels.");
    }
    const items = { [key]: await itemOf(key, await readInput(terminal, file)) };
    const { version } = await releaseChanged(client, set, { items, cas, rollout, ...givenOnly({ reason }) });
    terminal.out(`the rollout of ${setText(set)}@${version} has started\n`);
    if (wait) context.exit(await followRollout(client, terminal, set, version));
  });
}
