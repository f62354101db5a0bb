/** Content that a command is given: a file, or standard input. */
import { readFile } from "node:fs/promises";
import { messageOf } from "#base";
import { CliErrors } from "./errors.ts";
import type { Terminal } from "./terminal.ts";

/** @throws CLI_FILE_UNREADABLE */
export async function readInput(terminal: Pick<Terminal, "input">, file: string | undefined): Promise<Uint8Array> {
  if (file === undefined || file === "-") return terminal.input();
  return readFile(file).catch(failUnreadable(file));
}

/** Handles the failure to read a file or folder that a command is given. The result throws CLI_FILE_UNREADABLE. */
export function failUnreadable(path: string): (cause: unknown) => never {
  return (cause) => {
    throw CliErrors.FILE_UNREADABLE(`${path} cannot be read: ${messageOf(cause)}.`, { cause });
  };
}
