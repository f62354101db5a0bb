/** Content that a command is given: a file, or standard input. */
import { readFile } from "node:fs/promises";
import { messageOf } from "#base";
import { CliErrors } from "./errors.ts";
import type { Terminal } from "./terminal.ts";

/** @throws CLI_FILE_UNREADABLE */
export async function readInput(terminal: Pick<Terminal, "input">, file: string | undefined): Promise<Uint8Array> {
  if (file === undefined || file === "-") return terminal.input();
  return readFile(file).catch((cause: unknown) => {
    throw CliErrors.FILE_UNREADABLE(`${file} cannot be read: ${messageOf(cause)}.`, { cause });
  });
}
