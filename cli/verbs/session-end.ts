/** `posthouse session end ID`: ends the sign-in of a browser or a device at once. */
import type { Command } from "commander";
import { controlAction } from "../control-verb.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withExamples(command, ["posthouse session end 0123456789abcdef-0123456789abcdef"]);
  controlAction(command, context, async ({ client, args: [id = ""], terminal }) => {
    await client.access.endSignIn(id);
    terminal.out(`sign-in ${id} is ended\n`);
  });
}
