/** `posthouse config attach SOURCE`. */
import type { Command } from "commander";
import { controlAction } from "../control-verb.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  controlAction(command, context, async ({ client, args: [source = ""] }) => {
    await client.config.attachSource(source);
    context.terminal.out(`${source} is attached\n`);
  });
}
