/**
 * Files that the program keeps or receives, and reads when it starts. A damaged file ends the start with a code, the file's name and
 * what to do. It is never ignored, and never overwritten.
 */
import { readFile } from "node:fs/promises";
import { defineErrors, messageOf } from "./errors.ts";

export const StateFileErrors = defineErrors("STATE_FILE", {
  UNREADABLE: { status: 500, title: "State file not readable" },
  DAMAGED: { status: 500, title: "State file damaged" },
});

export interface StateFile<T> {
  /** Describes the file, such as "the key that signs cookies". */
  readonly what: string;
  /** How an operator fixes a damaged file, as a sentence. */
  readonly wayOut: string;
  /** Reads the text. The message of an error becomes the reason. */
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
