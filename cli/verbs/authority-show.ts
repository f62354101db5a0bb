/** `posthouse authority show`. */
import type { Command } from "commander";
import { printAuthority } from "../authority-text.ts";
import { controlAction } from "../control-verb.ts";
import { withExamples } from "../options.ts";
import { withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withOutput(command);
  withExamples(command, ["posthouse authority", "posthouse authority show -o json"]);
  controlAction(command, context, async ({ client, options, terminal }) =>
    printAuthority(terminal, options, await client.identity.authority()),
  );
}
