/** `posthouse config delete SET KEY`. */
import type { Command } from "commander";
import { EMERGENCY, REASON, setAction, reasonOf } from "../config-verb.ts";
import { withExamples } from "../options.ts";
import { setText } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  command.option(...REASON).option(...EMERGENCY);
  withExamples(command, ["posthouse config delete orders old.yaml --reason 'no longer read'"]);
  setAction(command, context, async ({ client, set, args: [key = ""], options }) => {
    const { version } = await client.config.deleteKey(set, key, reasonOf(options));
    context.terminal.out(`${setText(set)}@${version} is released without ${key}\n`);
  });
}
