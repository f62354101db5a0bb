/** `posthouse login --token -`: checks a token at the server, and stores it in a context. */
import { type Command, Option } from "commander";
import { own } from "#base";
import { contextsPath, readContexts, requireContextName, writeContexts } from "../contexts.ts";
import { controlSettings, withControlCalls } from "../control-client.ts";
import { CliErrors } from "../errors.ts";
import { type GivenOptions, withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

/** The context of a first login. */
const FIRST = "default";

export function define(command: Command, { terminal }: VerbContext): void {
  command
    .addOption(new Option("--token <->", "-: read the token from standard input").makeOptionMandatory())
    .option("--control-urls <value...>", "URLs of the control plane (default: those in use)")
    .option("--context <name>", 'context that stores it (default: the current one, else "default")');
  withExamples(command, [
    "posthouse login --token - < operator.token",
    "posthouse login --token - --context staging --control-urls https://control.staging.example",
  ]);
  command.action(async ({ token: given, controlUrls, context: named }: GivenOptions) => {
    if (given !== "-") {
      throw CliErrors.ARGUMENT_INVALID(
        "A token on the command line is visible to others. Use --token - and standard input.",
      );
    }
    if (terminal.isInputInteractive) terminal.err("paste the token, then press Enter and Ctrl-D\n");
    const token = Buffer.from(await terminal.input())
      .toString("utf8")
      .trim();
    if (!/^\S+$/.test(token)) throw CliErrors.ARGUMENT_INVALID("Standard input must have the token, and nothing else.");
    const file = await readContexts(terminal);
    const name = requireContextName((named as string | undefined) ?? file.current ?? FIRST);
    const before = own(file.contexts, name) ?? {};
    const flags = { controlUrls: controlUrls ?? before.controlUrls, token };
    const { values } = await controlSettings(flags, { ...terminal, environment: withoutContext(terminal.environment) });
    await withControlCalls({ values }, (client) => client.registry.members());
    const { tokenFile: _tokenFile, ...rest } = before;
    const entry = { ...rest, controlUrls: values.controlUrls, token };
    await writeContexts(terminal, { ...file, current: name, contexts: { ...file.contexts, [name]: entry } });
    terminal.out(`context ${name} has a token for ${values.controlUrls.join(", ")}\n`);
    terminal.err(`stored in ${contextsPath(terminal)}, which only you can read\n`);
  });
}

/** The context is being written here, so the choice of one by the environment does not apply. */
function withoutContext({ POSTHOUSE_CONTEXT: _context, ...rest }: Readonly<Record<string, string | undefined>>) {
  return rest;
}
