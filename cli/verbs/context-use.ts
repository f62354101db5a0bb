/** `posthouse context use NAME`: the context that commands use from now on. */
import type { Command } from "commander";
import { chosenContext, readContexts, writeContexts } from "../contexts.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, { terminal }: VerbContext): void {
  withExamples(command, ["posthouse context use staging"]);
  command.action(async (name: string) => {
    await chosenContext(terminal, name);
    await writeContexts(terminal, { ...(await readContexts(terminal)), current: name });
    terminal.out(`the current context is ${name}\n`);
  });
}
