/** `posthouse services policy rm SERVICE`: deletes the policy of a service, so that the defaults apply. */
import type { Command } from "commander";
import { confirm, withYes } from "../confirm.ts";
import { controlAction } from "../control-verb.ts";
import { withNamespace } from "../namespace.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withYes(withNamespace(command, "the service"));
  withExamples(command, ["posthouse services policy rm orders --yes"]);
  controlAction(command, context, async ({ client, args: [service = ""], options, terminal }) => {
    await confirm(terminal, options, `Delete the policy of ${service}? It is not kept anywhere.`);
    await client.registry.deletePolicy({ namespace: String(options["namespace"]), service });
    terminal.out(`the policy of ${service} is deleted; the defaults apply\n`);
  });
}
