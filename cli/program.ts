/** Reads the command line: finds the verb in the table, loads its file, and returns the exit code. */
import { Command, CommanderError } from "commander";
import { AppError } from "#base";
import { EXIT, exitOf } from "./exit-codes.ts";
import type { Terminal } from "./terminal.ts";
import type { VerbContext, VerbRow } from "./verb.ts";
import { VERBS } from "./verbs.ts";

const EXAMPLES = `
Examples:
  posthouse up                                     run everything on this machine
  posthouse services                               list the services and their health
  posthouse config put orders app.yaml app.yaml    release a file as a key of app orders
  posthouse route test GET http://127.0.0.1/orders show how the gateway routes a request

A command that calls the control plane needs a token: "posthouse login", or POSTHOUSE_TOKEN and, unless the
control plane is at http://127.0.0.1:8500, POSTHOUSE_CONTROL_URLS. "posthouse cheat" has more examples, and
"posthouse VERB --help" the options of a verb.`;

export interface Outcome {
  readonly code: number;
  /** Whether it ended with an error, so that open resources may keep the process alive. */
  readonly isFailed: boolean;
}

/** Runs one command line, given without the name of the program. */
export async function runCli(args: readonly string[], terminal: Terminal): Promise<Outcome> {
  let code: number = EXIT.done;
  const program = buildProgram(terminal, (given) => (code = given));
  try {
    await program.parseAsync(spelledOut(args), { from: "user" });
    return { code, isFailed: false };
  } catch (error) {
    return { code: await reportError(error, terminal), isFailed: true };
  }
}

/** The command line with `--version` as the verb `version`, and `help VERB` as `VERB --help`. */
function spelledOut(args: readonly string[]): string[] {
  const [first, ...rest] = args;
  if (first === "--version" || first === "-V") return ["version"];
  if (first === "help") return [...rest, "--help"];
  return args.length === 0 ? ["--help"] : [...args];
}

/** Writes the code, the cause and the next command. The table of those is loaded only for an error. */
async function reportError(error: unknown, terminal: Terminal): Promise<number> {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  const { CliErrors } = await import("./errors.ts");
  const isLate = error instanceof DOMException && error.name === "TimeoutError";
  const known = isLate ? CliErrors.TIMEOUT(`${error.message}.`, { cause: error }) : error;
  if (known instanceof AppError) {
    const { hintOf } = await import("./hints.ts");
    terminal.err(`posthouse: ${known.code}: ${known.message}\n  next: ${hintOf(known.code)}\n`);
  } else {
    terminal.err(`posthouse: ${known instanceof Error ? (known.stack ?? known.message) : String(known)}\n`);
  }
  return exitOf(known);
}

function buildRoot(terminal: Terminal): Command {
  return new Command("posthouse")
    .description("A microservice control plane: registry, config server, gateway and agent.")
    .option("-V, --version", "print the version")
    .helpOption("-h, --help", "show help")
    .helpCommand(false)
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({ helpWidth: 110 })
    .configureOutput({ writeOut: (text) => terminal.out(text), writeErr: (text) => terminal.err(text) })
    .addHelpText("after", EXAMPLES);
}

/** The command of a row below its parent, with the words and the summary only. */
function addRow(parent: Command, row: VerbRow): Command {
  const name = [row.path.split(" ").at(-1), row.args].filter(Boolean).join(" ");
  const command = parent
    .command(name, { hidden: row.hidden ?? false, isDefault: row.isDefault ?? false })
    .helpCommand(false)
    .summary(row.summary)
    .description(sentence(row.summary));
  for (const alias of row.aliases ?? []) command.alias(alias);
  if (row.group !== undefined) command.helpGroup(`${row.group}:`);
  return command;
}

function buildProgram(terminal: Terminal, exit: (code: number) => void): Command {
  const root = buildRoot(terminal);
  const commands = new Map<Command, VerbRow>();
  const defined = new Set<Command>();
  const context: VerbContext = { terminal, exit, allVerbs };

  /** Loads the file of a verb once. Before that, the verb has only its words and summary. */
  async function define(command: Command): Promise<void> {
    const row = commands.get(command);
    if (!row?.load || defined.has(command)) return;
    defined.add(command);
    (await row.load()).define(command, context);
  }
  async function allVerbs(): Promise<Command> {
    await Promise.all([...commands.keys()].map(define));
    return root;
  }

  const byPath = new Map<string, Command>([["", root]]);
  for (const row of VERBS) {
    const parent = byPath.get(row.path.split(" ").slice(0, -1).join(" "));
    if (!parent) throw new Error(`the table of verbs has "${row.path}" before its parent`);
    const command = addRow(parent, row);
    byPath.set(row.path, command);
    commands.set(command, row);
  }
  for (const command of byPath.values()) {
    if (command.commands.length > 0) command.hook("preSubcommand", (_parent, verb) => define(verb));
  }
  return root;
}

function sentence(summary: string): string {
  return `${summary.slice(0, 1).toUpperCase()}${summary.slice(1)}.`;
}
