/** `posthouse context rm NAME`: forgets a context and its token. The token keeps working until it is revoked. */
import type { Command } from "commander";
import { chosenContext, readContexts, writeContexts } from "../contexts.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, { terminal }: VerbContext): void {
  withExamples(command, ["posthouse context rm staging"]);
  command.action(async (name: string) => {
    await chosenContext(terminal, name);
    const { current, contexts } = await readContexts(terminal);
    const others = Object.fromEntries(Object.entries(contexts).filter(([one]) => one !== name));
    await writeContexts(terminal, {
      ...(current === undefined || current === name ? {} : { current }),
      contexts: others,
    });
    terminal.out(`context ${name} is removed\n`);
  });
}
