/** Asks before a change that cannot be undone: `--yes`, or an answer at the terminal. */
import type { Command } from "commander";
import { CliErrors } from "./errors.ts";
import type { GivenOptions } from "./options.ts";
import type { Terminal } from "./terminal.ts";

export function withYes(command: Command): Command {
  return command.option("-y, --yes", "do not ask for a confirmation");
}

/** @throws CLI_CONFIRMATION_MISSING without a yes */
export async function confirm(terminal: Terminal, options: GivenOptions, question: string): Promise<void> {
  if (options["yes"] === true) return;
  const { isInputInteractive, isErrorInteractive } = terminal;
  if (isInputInteractive && isErrorInteractive) {
    const { createInterface } = await import("node:readline/promises");
    const lines = createInterface({ input: process.stdin, output: process.stderr });
    try {
      if (/^y(es)?$/i.test((await lines.question(`${question} [y/N] `)).trim())) return;
    } finally {
      lines.close();
    }
  }
  throw CliErrors.CONFIRMATION_MISSING(`Not confirmed: ${question} Repeat the command with --yes to do it.`);
}
