/** `posthouse join-token revoke ID`. */
import type { Command } from "commander";
import { controlAction } from "../control-verb.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withExamples(command, ["posthouse join-token revoke 0123456789abcdef"]);
  controlAction(command, context, async ({ client, args: [id = ""], terminal }) => {
    await client.identity.revokeJoinToken(id);
    terminal.out(`join token ${id} is revoked\n`);
  });
}
