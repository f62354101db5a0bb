/** `posthouse version`. */
import type { Command } from "commander";
import { VERSION } from "#server/version";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, { terminal }: VerbContext): void {
  command.action(() => terminal.out(`${VERSION}\n`));
}
