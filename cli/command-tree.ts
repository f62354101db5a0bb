/** The commands as plain data: for completion, the manual page and the reference. */
import type { Command } from "commander";

export interface CommandOption {
  readonly flags: string;
  readonly long: string | undefined;
  readonly short: string | undefined;
  readonly takesValue: boolean;
  readonly description: string;
  /** Whether it is a setting, which many commands share. */
  readonly isSetting: boolean;
}
export interface CommandPage {
  /** The words, such as `config put`; empty for the program itself. */
  readonly path: string;
  /** Every way to write the words, with aliases. */
  readonly spellings: readonly string[];
  readonly summary: string;
  readonly description: string;
  /** Names of the arguments, such as `set` and `key`. */
  readonly args: readonly string[];
  readonly usage: string;
  readonly options: readonly CommandOption[];
  readonly examples: readonly string[];
  readonly verbs: readonly string[];
  readonly group: string;
}

/** Every visible command, parents before their children. */
export function commandPages(root: Command): CommandPage[] {
  return pagesOf(root, "", [""]);
}

function pagesOf(command: Command, path: string, spellings: readonly string[]): CommandPage[] {
  const help = command.createHelp();
  const children = help.visibleCommands(command).filter((child) => child.name() !== "help");
  const options = help.visibleOptions(command).map((option): CommandOption => ({
    flags: option.flags,
    long: option.long ?? undefined,
    short: option.short ?? undefined,
    takesValue: option.required || option.optional,
    description: help.optionDescription(option),
    isSetting: option.helpGroupHeading === "Settings:",
  }));
  const args = command.registeredArguments.map((argument) =>
    argument.required ? `<${argument.name()}${argument.variadic ? "..." : ""}>` : `[${argument.name()}]`,
  );
  const page: CommandPage = {
    path,
    spellings,
    summary: command.summary() || command.description(),
    description: command.description(),
    args: command.registeredArguments.map((argument) => argument.name()),
    usage: ["posthouse", path, ...args, children.length > 0 && args.length === 0 ? "<command>" : ""]
      .filter(Boolean)
      .join(" "),
    options,
    examples: examplesOf(command),
    verbs: children.map((child) => child.name()),
    group: command.helpGroup() ?? "",
  };
  const below = children.flatMap((child) => {
    const names = [child.name(), ...child.aliases()];
    const ways = spellings.flatMap((before) => names.map((name) => (before === "" ? name : `${before} ${name}`)));
    return pagesOf(child, path === "" ? child.name() : `${path} ${child.name()}`, ways);
  });
  return [page, ...below];
}

/** The lines that `withExamples` added below the help. */
const EXAMPLES = new WeakMap<Command, readonly string[]>();
export function rememberExamples(command: Command, lines: readonly string[]): void {
  EXAMPLES.set(command, lines);
}
function examplesOf(command: Command): readonly string[] {
  return EXAMPLES.get(command) ?? [];
}
