/** `posthouse locks break NAME`: takes a lock from its holder. */
import type { Command } from "commander";
import { confirm, withYes } from "../confirm.ts";
import { controlAction } from "../control-verb.ts";
import { withNamespace } from "../namespace.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withNamespace(command, "the lock").requiredOption("--reason <text>", "the reason, for the record");
  withYes(command);
  withExamples(command, ["posthouse locks break nightly/backup --reason 'the host is gone' --yes"]);
  controlAction(command, context, async ({ client, args: [name = ""], options, terminal }) => {
    const lock = { namespace: String(options["namespace"]), name };
    await client.locks.get(lock);
    await confirm(terminal, options, `Take the lock "${name}" from its holder, which may still be working?`);
    const { broken } = await client.locks.break(lock, { reason: String(options["reason"]) });
    terminal.out(`lock ${name} is broken; session ${broken.session} held it\n`);
  });
}
