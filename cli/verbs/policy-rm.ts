/** `posthouse policy rm NAME`: deletes a policy without users. */
import type { Command } from "commander";
import { confirm, withYes } from "../confirm.ts";
import { controlAction } from "../control-verb.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withYes(command);
  withExamples(command, ["posthouse policy rm orders-team --yes"]);
  controlAction(command, context, async ({ client, args: [name = ""], options, terminal }) => {
    const { revision } = await client.access.policy(name);
    await confirm(terminal, options, `Delete the policy ${name}? It is not kept anywhere.`);
    await client.access.deletePolicy(name, { ifRevision: revision });
    terminal.out(`policy ${name} is deleted\n`);
  });
}
