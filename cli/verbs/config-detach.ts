/** `posthouse config detach SOURCE`. */
import type { Command } from "commander";
import { configAction } from "../config-verb.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  configAction(command, context, async ({ client, args: [source = ""] }) => {
    await client.config.detachSource(source);
    context.terminal.out(`${source} is detached\n`);
  });
}
