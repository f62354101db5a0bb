/** `posthouse login`: gets a token by a browser elsewhere, or checks one from standard input, and stores it in a context. */
import { type Command, Option } from "commander";
import { own } from "#base";
import { contextsPath, readContexts, requireContextName, writeContexts } from "../contexts.ts";
import { type ControlSettings, controlSettings, withControlCalls } from "../control-client.ts";
import { authoritiesOf, trustOf } from "../control-trust.ts";
import { deviceLogin, deviceName } from "../device-login.ts";
import { CliErrors } from "../errors.ts";
import { type GivenOptions, withExamples } from "../options.ts";
import type { Terminal } from "../terminal.ts";
import type { VerbContext } from "../verb.ts";

/** The context of a first login. */
const FIRST = "default";

export function define(command: Command, { terminal }: VerbContext): void {
  command
    .addOption(new Option("--token <->", "-: read a token from standard input, instead of using a browser"))
    .option("--name <name>", "name of this machine, for the person who confirms (default: its host name)")
    .option("--control-urls <value...>", "URLs of the control plane (default: those in use)")
    .option("--fingerprint <hex>", "fingerprint of the authority of the control plane, which posthouse up prints there")
    .option("--ca-file <path>", "PEM file of the authorities of the control plane")
    .option("--context <name>", 'context that stores it (default: the current one, else "default")');
  withExamples(command, [
    "posthouse login",
    "posthouse login --token - < operator.token",
    "posthouse login --context staging --control-urls https://control.staging.example",
    "posthouse login https://10.0.0.7:8500 --fingerprint 3f1c9a --token - < operator.token",
  ]);
  command.action(async (url: string | undefined, options: GivenOptions) => {
    const { token: given, name: machine, context: named, fingerprint, caFile } = options;
    const controlUrls = url === undefined ? options["controlUrls"] : [url];
    if (given !== undefined && given !== "-") {
      throw CliErrors.ARGUMENT_INVALID(
        "A token on the command line is visible to others. Use --token - and standard input, or no --token at all.",
      );
    }
    const device = deviceName(machine as string | undefined);
    const file = await readContexts(terminal);
    const name = requireContextName((named as string | undefined) ?? file.current ?? FIRST);
    const before = own(file.contexts, name) ?? {};
    const stated = {
      controlCaFile: caFile as string | undefined,
      controlFingerprint: fingerprint as string | undefined,
    };
    const settingsWith = async (token: string | undefined) => {
      const flags = {
        ...stated,
        controlUrls: controlUrls ?? before.controlUrls,
        ...(token === undefined ? {} : { token }),
      };
      const settings = await controlSettings(flags, {
        ...terminal,
        environment: withoutContext(terminal.environment),
      });
      // A login that states neither a URL nor its trust keeps the trust of the context.
      return {
        ...settings,
        values: {
          ...settings.values,
          tls: settings.values.tls ?? (await trustOf({}, controlUrls === undefined ? before : undefined)),
        },
      };
    };
    const { token, values, note } =
      given === undefined
        ? await byBrowser(terminal, await settingsWith(undefined), device)
        : await byInput(terminal, settingsWith);
    const { tokenFile: _tokenFile, ...rest } = before;
    const { tls = {} } = values;
    const ca = await authoritiesOf(values.controlUrls, tls, terminal.stopSignal());
    const entry = { ...rest, controlUrls: values.controlUrls, token, fingerprint: tls.fingerprint, ca };
    await writeContexts(terminal, { ...file, current: name, contexts: { ...file.contexts, [name]: entry } });
    terminal.out(`context ${name} has a token for ${values.controlUrls.join(", ")}\n`);
    terminal.err(`${note}stored in ${contextsPath(terminal)}, which only you can read\n`);
  });
}

interface LoggedIn {
  readonly token: string;
  readonly values: ControlSettings["values"];
  /** Said to the user, with a line break, or nothing. */
  readonly note: string;
}

async function byBrowser(terminal: Terminal, settings: ControlSettings, device: string): Promise<LoggedIn> {
  const { token, name, expiresAt } = await deviceLogin(settings, { terminal, device });
  return { token, values: settings.values, note: `signed in as ${name} until ${expiresAt}\n` };
}

async function byInput(
  terminal: Terminal,
  settingsWith: (token: string) => Promise<ControlSettings>,
): Promise<LoggedIn> {
  if (terminal.isInputInteractive) terminal.err("paste the token, then press Enter and Ctrl-D\n");
  const token = Buffer.from(await terminal.input())
    .toString("utf8")
    .trim();
  if (!/^\S+$/.test(token)) throw CliErrors.ARGUMENT_INVALID("Standard input must have the token, and nothing else.");
  const { values } = await settingsWith(token);
  await withControlCalls({ values }, (client) => client.registry.members());
  return { token, values, note: "" };
}

/** The context is being written here, so the choice of one by the environment does not apply. */
function withoutContext({ POSTHOUSE_CONTEXT: _context, ...rest }: Readonly<Record<string, string | undefined>>) {
  return rest;
}
