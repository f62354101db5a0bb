/** A verb of the command line: a row of the table, and a file that is loaded when the verb is used. */
import type { Command } from "commander";
import type { Terminal } from "./terminal.ts";

export interface VerbContext {
  readonly terminal: Terminal;
  /** Sets the exit code of the program. */
  readonly exit: (code: number) => void;
  /** Every verb with its options, for completion and the pages of the manual. */
  readonly allVerbs: () => Promise<Command>;
}

export interface VerbModule {
  /** Adds options and the action. The words, arguments and summary are those of the row. */
  define(command: Command, context: VerbContext): void;
}

export interface VerbRow {
  /** The words, such as `config put`. */
  readonly path: string;
  /** Other words for the last one. */
  readonly aliases?: readonly string[];
  /** Arguments as commander writes them, such as `<set> [key]`. */
  readonly args?: string;
  readonly summary: string;
  /** Heading in the help of its parent. */
  readonly group?: string;
  /** Hidden in every help text. */
  readonly hidden?: true;
  /** Whether its parent without a word below it means this verb: `services` is `services ls`. */
  readonly isDefault?: true;
  /** Absent: the verb only groups others. */
  readonly load?: () => Promise<VerbModule>;
}
