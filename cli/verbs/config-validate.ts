/** `posthouse config validate SET KEY [FILE]`: the checks of a release, without a release. */
import type { Command } from "commander";
import { setAction } from "../config-verb.ts";
import { readInput } from "../input.ts";
import { withExamples } from "../options.ts";
import { planKey } from "../plan-key.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withExamples(command, [
    "posthouse config validate orders/prod app.yaml app.yaml",
    "posthouse config import config --dry-run               a whole folder",
  ]);
  setAction(command, context, async ({ client, set, args: [key = "", file], terminal }) => {
    await planKey({ client, terminal, set }, key, await readInput(terminal, file));
  });
}
