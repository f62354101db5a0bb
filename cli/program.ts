/** Reads the command line: finds the verb in the table, loads its file, and returns the exit code. */
import { Command, CommanderError } from "commander";
import { AppError } from "#base";
import type { Terminal } from "./terminal.ts";
import type { VerbContext, VerbRow } from "./verb.ts";
import { VERBS } from "./verbs.ts";

/** 0 success · 1 failure · 2 wrong usage or settings. `lock` and `exec` return the exit code of their command. */
const EXIT = { done: 0, failed: 1, usage: 2 } as const;

const EXAMPLES = `
Examples:
  posthouse up                                     run everything on this machine
  posthouse services                               list the services and their health
  posthouse config put orders app.yaml app.yaml    release a file as a key of app orders
  posthouse route test GET http://127.0.0.1/orders show how the gateway routes a request

A command that calls the control plane needs POSTHOUSE_TOKEN, and POSTHOUSE_CONTROL_URLS
unless it is at http://127.0.0.1:8500. "posthouse VERB --help" shows options and examples.`;

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
    return { code: reportError(error, terminal), isFailed: true };
  }
}

/** The command line with `--version` as the verb `version`, and `help VERB` as `VERB --help`. */
function spelledOut(args: readonly string[]): string[] {
  const [first, ...rest] = args;
  if (first === "--version" || first === "-V") return ["version"];
  if (first === "help") return [...rest, "--help"];
  return args.length === 0 ? ["--help"] : [...args];
}

function reportError(error: unknown, terminal: Terminal): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  if (error instanceof AppError) {
    terminal.err(`posthouse: ${error.code}: ${error.message}\n`);
    return error.status === 400 ? EXIT.usage : EXIT.failed;
  }
  terminal.err(`posthouse: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return EXIT.failed;
}

function buildProgram(terminal: Terminal, exit: (code: number) => void): Command {
  const root = new Command("posthouse")
    .description("A microservice control plane: registry, config server, gateway and agent.")
    .option("-V, --version", "print the version")
    .helpOption("-h, --help", "show help")
    .helpCommand(false)
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({ helpWidth: 110 })
    .configureOutput({ writeOut: (text) => terminal.out(text), writeErr: (text) => terminal.err(text) })
    .addHelpText("after", EXAMPLES);
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
    const words = row.path.split(" ");
    const parent = byPath.get(words.slice(0, -1).join(" "));
    if (!parent) throw new Error(`the table of verbs has "${row.path}" before its parent`);
    const name = [words.at(-1), row.args].filter(Boolean).join(" ");
    const command = parent
      .command(name, { hidden: row.hidden ?? false })
      .helpCommand(false)
      .summary(row.summary)
      .description(sentence(row.summary));
    if (row.group !== undefined) command.helpGroup(`${row.group}:`);
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
