/** `posthouse binding rm SUBJECT`: takes the policies of a binding away; people without another one are signed out. */
import type { Command } from "commander";
import { confirm, withYes } from "../confirm.ts";
import { controlAction } from "../control-verb.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withYes(command);
  withExamples(command, ["posthouse binding rm group:developers --yes"]);
  controlAction(command, context, async ({ client, args: [subject = ""], options, terminal }) => {
    await confirm(terminal, options, `Delete the binding of ${subject}? People without another one are signed out.`);
    await client.access.deleteBinding(subject);
    terminal.out(`the binding of ${subject} is deleted\n`);
  });
}
