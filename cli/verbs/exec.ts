/** `posthouse exec -- COMMAND`, and `posthouse agent exec`. */
import { constants } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import { AppError } from "#base";
import type { SetName } from "#config-server/api";
import { SOURCE_SETTINGS } from "../config-source.ts";
import { type NamedVariable, parseVariable } from "../environment.ts";
import { runWithConfig } from "../exec.ts";
import type { ExecCommand } from "../exec-command.ts";
import { NAMESPACE_VARIABLE } from "../namespace.ts";
import { type GivenOptions, secondsOption, withExamples } from "../options.ts";
import { readSettings, withSettings } from "../setting-options.ts";
import { parseSetName, withNamespaceOfSet } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

/** The maximum of every option in seconds: one day. */
const SECONDS_MAX = 86_400;

export function define(command: Command, { terminal, exit }: VerbContext): void {
  const seconds = secondsOption(SECONDS_MAX);
  command
    .description(
      "Run a command with config as its environment: app.yaml {db: {url: x}} is DB_URL=x. " +
        "The config comes from the agent of this host, unless --control-urls or --token is given.",
    )
    .requiredOption("--config <app/profile>", "a config set; repeatable, later sets override earlier ones", texts)
    .option("--prefix <text>", "prefix of every variable", "")
    .option("--env <name=key#path>", "one explicit variable, such as URL=app.yaml#db.url; repeatable", variables, [])
    .addOption(
      new Option("--on-change <what>", "action when the environment changes")
        .choices(["restart", "signal", "none"])
        .default("restart"),
    )
    .option("--signal <name>", "signal that --on-change signal sends", signalName, "SIGHUP")
    .option("--quiet-seconds <seconds>", "act on a change once nothing has changed for this long", seconds, 0.5)
    .option("--quiet-seconds-max <seconds>", "act on a change after this long at the latest", seconds, 10)
    .option("--splay-seconds <seconds>", "then wait for a random part of this", seconds, 0)
    .option("--grace-seconds <seconds>", "time from SIGTERM to SIGKILL at a restart", seconds, 10)
    .option("--wait <seconds>", "maximum wait for a first config (default: unlimited)", seconds)
    .option("--subscriber <name>", "name that acknowledges the releases (default: HOST-COMMAND)", subscriber);
  withSettings(withNamespaceOfSet(command), SOURCE_SETTINGS);
  withExamples(command, [
    "posthouse exec --config orders/prod -- ./orders --port 4001",
    "posthouse exec --config shared --config orders --env URL=app.yaml#db.url -- ./orders",
  ]);
  command.addHelpText(
    "after",
    "\nThe exit code is that of the command; 128 plus the signal's number when a signal ended it, 126 or 127 when it cannot be run.",
  );
  command.action(async (words: [string, ...string[]], options: GivenOptions) => {
    const { config, env, namespace, ...given } = options as unknown as Omit<
      ExecCommand,
      "command" | "sets" | "variables"
    > & { config: string[]; env: ExecCommand["variables"]; namespace?: string };
    // It reads the agent of this host, so contexts do not apply.
    const home = terminal.environment[NAMESPACE_VARIABLE] || undefined;
    const sets: SetName[] = config.map((text) => parseSetName(text, namespace, home));
    exit(await runWithConfig(readSettings(options, terminal), { ...given, sets, variables: env, command: words }));
  });
}

function texts(text: string, before: string[] = []): string[] {
  try {
    parseSetName(text);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw new InvalidArgumentError(error.message);
  }
  return [...before, text];
}

function variables(text: string, before: NamedVariable[]): NamedVariable[] {
  const variable = parseVariable(text);
  if (!variable) throw new InvalidArgumentError("It must be NAME=key or NAME=key#path.to.value.");
  return [...before, variable];
}

function subscriber(text: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(text)) return text;
  throw new InvalidArgumentError(
    "It must consist of letters, digits, dot, underscore and dash; at most 128 characters.",
  );
}

function signalName(text: string): string {
  const name = text.startsWith("SIG") ? text : `SIG${text}`;
  if (Object.hasOwn(constants.signals, name)) return name;
  throw new InvalidArgumentError("It must be the name of a signal, such as HUP.");
}
