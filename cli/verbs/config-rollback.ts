/** `posthouse config rollback SET VERSION`. */
import { type Command, InvalidArgumentError } from "commander";
import { EMERGENCY, REASON, setAction, reasonOf } from "../config-verb.ts";
import { CliErrors } from "../errors.ts";
import { countOption, withExamples } from "../options.ts";
import { setText } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  command.option(...REASON).option(...EMERGENCY);
  withExamples(command, ["posthouse config rollback orders 3 --reason 'the pool was too large'"]);
  setAction(command, context, async ({ client, set, args: [text = ""], options }) => {
    const toVersion = versionOf(text);
    const { version } = await client.config.rollback(set, { toVersion, ...reasonOf(options) });
    context.terminal.out(`${setText(set)}@${version} is released, with the content of ${toVersion}\n`);
  });
}

function versionOf(text: string): number {
  try {
    return countOption(text);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw CliErrors.ARGUMENT_INVALID(`"${text}" is not a version: it must be a whole number from 1.`);
  }
}
