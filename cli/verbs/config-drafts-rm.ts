/** `posthouse config drafts rm SET KEY`: discards a draft of the caller. */
import type { Command } from "commander";
import { setAction } from "../config-verb.ts";
import { confirm, withYes } from "../confirm.ts";
import { withExamples } from "../options.ts";
import { setText } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withYes(command);
  withExamples(command, ["posthouse config drafts rm orders/prod app.yaml"]);
  setAction(command, context, async ({ client, set, args: [key = ""], options, terminal }) => {
    await confirm(terminal, options, `Discard your draft of ${key} of ${setText(set)}? It is not kept anywhere.`);
    await client.config.discardDraft(set, key);
    terminal.out(`your draft of ${key} of ${setText(set)} is discarded\n`);
  });
}
