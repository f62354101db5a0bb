/** `posthouse token revoke ID`. */
import type { Command } from "commander";
import { controlAction } from "../control-verb.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withExamples(command, ["posthouse token revoke 0123456789abcdef"]);
  controlAction(command, context, async ({ client, args: [id = ""], terminal }) => {
    await client.access.revokeToken(id);
    terminal.out(`token ${id} is revoked\n`);
  });
}
