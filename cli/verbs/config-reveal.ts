/** `posthouse config reveal SET KEY`: prints one secret in the clear. The server records the caller and the reason first. */
import type { Command } from "commander";
import { setAction } from "../config-verb.ts";
import { countOption, givenOnly, withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  command
    .requiredOption("--reason <text>", "the reason, for the audit")
    .option("--at <version>", "this version instead of the live one", countOption);
  withExamples(command, ["posthouse config reveal orders/prod db.password --reason 'incident 7'"]);
  setAction(command, context, async ({ client, set, args: [key = ""], options, terminal }) => {
    const { reason, at: version } = options as { reason: string; at?: number };
    const { value } = await client.config.reveal(set, { key, reason, ...givenOnly({ version }) });
    terminal.out(value);
  });
}
