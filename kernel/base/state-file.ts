/**
 * Files that the program keeps for itself, or is given, and reads when it starts. One that is damaged ends the start with a code, the
 * file's name and the way out; it is never taken for another, and never overwritten.
 */
import { readFile } from "node:fs/promises";
import { defineErrors, messageOf } from "./errors.ts";

export const StateFileErrors = defineErrors("STATE_FILE", {
  UNREADABLE: { status: 500, title: "State file not readable" },
  DAMAGED: { status: 500, title: "State file damaged" },
});

export interface StateFile<T> {
  /** What the file is, such as "the key that signs cookies". */
  readonly what: string;
  /** What an operator does about a damaged one, as a sentence. */
  readonly wayOut: string;
  /** Reads the text. What it throws becomes the reason. */
  readonly parse: (text: string) => T;
}

/** The content of a state file; undefined when there is none. @throws STATE_FILE_UNREADABLE, STATE_FILE_DAMAGED */
export async function readStateFile<T>(path: string, { what, wayOut, parse }: StateFile<T>): Promise<T | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw StateFileErrors.UNREADABLE(
      `${path}, ${what}, cannot be read: ${messageOf(cause)}. Make it readable for this process.`,
      {
        cause,
      },
    );
  }
  try {
    return parse(text);
  } catch (cause) {
    throw StateFileErrors.DAMAGED(`${path}, ${what}, is damaged: ${messageOf(cause)}. ${wayOut}`, { cause });
  }
}
