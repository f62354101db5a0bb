/** `posthouse config rollout pause|resume|promote|complete|abort SET`: the word is the action. */
import type { Command } from "commander";
import type { RolloutAction } from "#config-server/api";
import { setAction } from "../config-verb.ts";
import { withExamples } from "../options.ts";
import { setText } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  const action = command.name() as RolloutAction;
  command.option("--reason <text>", "the reason, for the history");
  withExamples(command, [`posthouse config rollout ${action} orders/prod`]);
  setAction(command, context, async ({ client, set, options, terminal }) => {
    const { version, state, stage, stages } = await client.config.steerRollout(
      set,
      action,
      (options["reason"] as string) ?? "",
    );
    terminal.out(`the rollout of ${setText(set)}@${version} is ${state}, in stage ${stage + 1} of ${stages.length}\n`);
  });
}
