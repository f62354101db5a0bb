/** `posthouse config proposals withdraw SET PROPOSAL`: takes back a proposal of the caller. It stays in the list. */
import type { Command } from "commander";
import { setAction } from "../config-verb.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withExamples(command, ["posthouse config proposals withdraw orders/prod 0123456789abcdef"]);
  setAction(command, context, async ({ client, set, args: [id = ""], terminal }) => {
    await client.config.withdraw(set, id);
    terminal.out(`proposal ${id} is withdrawn\n`);
  });
}
