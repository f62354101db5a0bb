/** `posthouse secret-key generate`: a new key for secrets, as a line of a key file. It is not stored. */
import type { Command } from "commander";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, { terminal }: VerbContext): void {
  withExamples(command, ["posthouse secret-key generate > secret-keys"]);
  command.action(async () => {
    const { libraryHost } = await import("#base/library");
    const { keyLine } = await import("#config-server/secret-keys");
    const { random, clock } = libraryHost();
    terminal.out(`${keyLine(random, clock.now())}\n`);
  });
}
