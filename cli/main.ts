#!/usr/bin/env node
/** The program: parses, dispatches, and ends with an exit code that scripts can branch on. */
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { AppError, messageOf } from "#base";
import { DRAIN_SECONDS, DRAIN_SECONDS_MAX } from "#registry/api";
import {
  envOf,
  flagOf,
  type LoadedSettings,
  loadSettings,
  type SettingName,
  settingNames,
  settingRow,
  SettingsErrors,
} from "#settings";
import { configCommand } from "./config-commands.ts";
import { SOURCE_SETTINGS } from "./config-source.ts";
import { CONTROL_SETTINGS } from "./control-client.ts";
import { parseVariable, type NamedVariable } from "./environment.ts";
import type { ExecCommand } from "./exec.ts";

/** 0 done · 1 failed · 2 wrong usage or settings; `lock` and `exec` end with the code of their command. */
const EXIT = { done: 0, failed: 1, usage: 2 } as const;

function program(): Command {
  const root = new Command("posthouse")
    .description("A microservice control plane: registry, config server, gateway and agent.")
    .exitOverride()
    .showSuggestionAfterError();
  const up = withSettings(root.command("up"))
    .description("Run posthouse: all roles in one process, unless --roles names some")
    .option("--workers <number>", `short for ${flagOf("gatewayWorkers")}`)
    .option("--demo", "also run three small services, registered through the agent")
    .action(async (options: Record<string, unknown>) => {
      const { serve } = await import("./serve.ts");
      process.exitCode = await serve(read(options), { demo: options["demo"] === true });
    });
  root
    .command("gateway-worker", { hidden: true })
    .description("One process of a gateway of several; posthouse starts it itself")
    .action(async () => (await import("./gateway-worker.ts")).gatewayWorker());
  up.addHelpText("after", `\nEvery setting is also an environment variable, such as ${envOf("port")}.`);
  withSettings(root.command("operator-token"))
    .description("Issue a new operator token, straight into the data folder; for when the first was lost")
    .action(async (options: Record<string, unknown>) => {
      const { issueOperatorToken } = await import("./operator-token.ts");
      await issueOperatorToken(read(options));
    });
  root
    .command("secret-key")
    .description("Keys that secrets of configs are encrypted under")
    .command("generate")
    .description("Print a new key as a line of a key file; put it first to encrypt under it from then on")
    .action(async () => {
      const { printSecretKey } = await import("./secret-key.ts");
      printSecretKey();
    });
  withSettings(root.command("deregister <service> <id>"), CONTROL_SETTINGS)
    .description("Deregister an instance; with --drain once everyone who sends it requests has seen that it goes")
    .option("--namespace <name>", "namespace of the service", "default")
    .option("--drain [seconds]", `drain first, for so long at the most (default ${DRAIN_SECONDS})`)
    .action(async (service: string, id: string, options: Record<string, unknown>) => {
      const { deregister } = await import("./deregister.ts");
      const namespace = String(options["namespace"]);
      await deregister(read(options), {
        namespace,
        service,
        id,
        drainSeconds: drainSeconds(options["drain"] as string | boolean | undefined),
      });
    });
  lockCommand(root);
  const agent = root.command("agent").description("What the agent of this host does for a command");
  execCommand(agent);
  execCommand(root);
  configCommand(root, { withSettings: (command) => withSettings(command, CONTROL_SETTINGS), read });
  gatewayCommands(root);
  root
    .command("version")
    .description("Print the version")
    .action(async () => {
      const { VERSION } = await import("#server");
      process.stdout.write(`${VERSION}\n`);
    });
  return root;
}

/** `--drain` alone is true. */
function drainSeconds(given: string | boolean | undefined): number | undefined {
  if (given === undefined || given === false) return undefined;
  const seconds = given === true ? DRAIN_SECONDS : Number(given);
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= DRAIN_SECONDS_MAX) return seconds;
  throw SettingsErrors.INVALID(`--drain ${given}: it takes whole seconds from 1 to ${DRAIN_SECONDS_MAX}.`);
}

function lockCommand(root: Command): void {
  const seconds = (text: string): number => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= 0)) throw new InvalidArgumentError("It is a number of seconds.");
    return value;
  };
  withSettings(root.command("lock"), CONTROL_SETTINGS)
    .description(
      "Run a command while holding a lock; it knows LOCK_NAME and LOCK_TOKEN, and ends when the lock is lost",
    )
    .argument("<name>", "such as orders/leader")
    .argument("<command...>", "the command and its arguments, after --")
    .option("--namespace <name>", "namespace of the lock", "default")
    .option("--value <text>", "who we are, for those that look at the lock")
    .option("--wait-seconds <seconds>", "give up after so long, with exit code 75 (default: wait for ever)", seconds)
    .option("--delay-seconds <seconds>", "rest of the lock should we vanish (default 15)", seconds)
    .option("--session-seconds <seconds>", "silence after which we count as vanished", seconds, 15)
    .option("--grace-seconds <seconds>", "from SIGTERM to SIGKILL once the lock is lost", seconds, 5)
    .addHelpText("after", "\nThe exit code is the command's; 75 when the lock was not acquired in time, or lost.")
    .action(async (name: string, command: [string, ...string[]], options: Record<string, unknown>) => {
      const { runWithLock } = await import("./lock.ts");
      const given = options as Partial<Record<string, number>> & { namespace: string; value?: string };
      process.exitCode = await runWithLock(read(options), {
        name,
        namespace: given.namespace,
        command,
        options: {
          sessionSeconds: given["sessionSeconds"] as number,
          ...(given.value === undefined ? {} : { value: given.value }),
          ...(given["delaySeconds"] === undefined ? {} : { lockDelaySeconds: given["delaySeconds"] }),
        },
        waitSeconds: given["waitSeconds"],
        graceSeconds: given["graceSeconds"] as number,
      });
    });
}

/** `agent exec`, and `exec` for short. */
function execCommand(parent: Command): void {
  const seconds = (text: string): number => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= 0 && value <= 86_400)) {
      throw new InvalidArgumentError("It is a number of seconds, a day at most.");
    }
    return value;
  };
  const sets = (text: string, before: { app: string; profile: string }[] = []) => {
    const [, app, profile = "default"] = /^([a-z0-9-]+)(?:\/([a-z0-9-]+))?$/.exec(text) ?? [];
    if (app === undefined) throw new InvalidArgumentError("It is APP or APP/PROFILE.");
    return [...before, { app, profile }];
  };
  const variables = (text: string, before: NamedVariable[] = []) => {
    const variable = parseVariable(text);
    if (!variable) throw new InvalidArgumentError("It is NAME=key or NAME=key#path.to.value.");
    return [...before, variable];
  };
  const subscriber = (text: string): string => {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(text)) {
      throw new InvalidArgumentError("It is letters, digits, dot, underscore and dash; at most 128.");
    }
    return text;
  };
  const signalName = (text: string): string => {
    const name = text.startsWith("SIG") ? text : `SIG${text}`;
    if (!Object.hasOwn(constants.signals, name)) throw new InvalidArgumentError("It is a signal, such as HUP.");
    return name;
  };
  withSettings(parent.command("exec"), SOURCE_SETTINGS)
    .description(
      "Run a command with config as its environment: app.yaml {db: {url: x}} is DB_URL=x. " +
        "The agent of this host is asked, unless --control-urls or --token is given",
    )
    .argument("<command...>", "the command and its arguments, after --")
    .requiredOption("--config <app/profile>", "a config set; again for more, the later over the earlier", sets)
    .option("--namespace <name>", "namespace of the sets", "default")
    .option("--prefix <text>", "what every variable begins with", "")
    .option("--env <name=key#path>", "one variable by hand, such as URL=app.yaml#db.url; again for more", variables, [])
    .addOption(
      new Option("--on-change <what>", "when the environment changes")
        .choices(["restart", "signal", "none"])
        .default("restart"),
    )
    .option("--signal <name>", "what --on-change signal sends", signalName, "SIGHUP")
    .option("--quiet-seconds <seconds>", "act on a change once nothing has changed for so long", seconds, 0.5)
    .option("--quiet-seconds-max <seconds>", "and after so long at the most", seconds, 10)
    .option("--splay-seconds <seconds>", "and then after a random part of this", seconds, 0)
    .option("--grace-seconds <seconds>", "from SIGTERM to SIGKILL of a restart", seconds, 10)
    .option("--subscriber <name>", "who acknowledges the releases (default: HOST-COMMAND)", subscriber)
    .addHelpText(
      "after",
      "\nThe exit code is the command's; 128 and the signal's number when a signal ended it, 126 or 127 when it cannot be run.",
    )
    .action(async (command: [string, ...string[]], options: Record<string, unknown>) => {
      const { runWithConfig } = await import("./exec.ts");
      const { config, env, ...given } = options as unknown as Omit<ExecCommand, "command" | "sets" | "variables"> & {
        config: ExecCommand["sets"];
        env: ExecCommand["variables"];
      };
      process.exitCode = await runWithConfig(read(options), { ...given, sets: config, variables: env, command });
    });
}

function gatewayCommands(root: Command): void {
  const gateway = root.command("gateway").description("Check a gateway config, make an API key");
  withSettings(gateway.command("validate <file>"), ["gatewayFilters"])
    .description("Check a gateway config as a release would, with line and column")
    .action(async (file: string, options: Record<string, unknown>) => {
      const { validateFile } = await import("./gateway.ts");
      if (!(await validateFile(read(options), file))) process.exitCode = EXIT.failed;
    });
  gateway
    .command("key")
    .description("Make an API key for a consumer, and the hash that the config knows it by")
    .action(async () => (await import("./gateway.ts")).printKey());
  const header = (text: string, before: { name: string; value: string }[] = []) => {
    const colon = text.indexOf(":");
    if (colon < 1) throw new InvalidArgumentError("It is Name: value.");
    return [...before, { name: text.slice(0, colon).trim(), value: text.slice(colon + 1).trim() }];
  };
  const route = root.command("route").description("Ask about routes");
  withSettings(route.command("test <method> <url>"), [...CONTROL_SETTINGS, "gatewayFilters"])
    .description("What the gateways would do with a request, and why; nothing is sent")
    .option("-H, --header <name: value>", "a header of the request; again for more", header, [])
    .option("--bearer <token>", "the request's bearer token")
    .option("--peer <address>", "where the request comes from", "127.0.0.1")
    .option("--listener <name>", "where it comes in", "default")
    .option("--namespace <name>", "namespace of the gateway's config", "default")
    .option("--zone <name>", "zone of the gateway; without it zones do not count")
    .option("--file <path>", "ask this config, and not what is released")
    .option("--json", "print all of it as JSON")
    .action(async (method: string, url: string, options: Record<string, unknown>) => {
      const { testRoute } = await import("./gateway.ts");
      const given = options as Record<"peer" | "listener" | "namespace", string> & {
        header: { name: string; value: string }[];
        bearer?: string;
        zone?: string;
        file?: string;
        json?: boolean;
      };
      const token = given.bearer === undefined ? [] : [{ name: "Authorization", value: `Bearer ${given.bearer}` }];
      const { peer, listener, namespace } = given;
      const request = {
        method: method.toUpperCase(),
        url,
        headers: [...given.header, ...token],
        peer,
        listener,
        namespace,
        ...(given.zone === undefined ? {} : { zone: given.zone }),
      };
      await testRoute(read(options), { request, file: given.file, json: given.json ?? false });
    });
}

function withSettings(command: Command, names: readonly SettingName[] = settingNames): Command {
  command.addOption(new Option("--settings <file>", "settings file, YAML or JSON").env("POSTHOUSE_SETTINGS"));
  for (const name of names) {
    const row = settingRow(name);
    const given = row.default === undefined ? "" : ` (default ${JSON.stringify(row.default)})`;
    const many = row.type === "array" ? "..." : "";
    command.addOption(new Option(`${flagOf(name)} <value${many}>`, `${row.description}${given}`));
  }
  return command;
}

function read(options: Record<string, unknown>): LoadedSettings {
  const path = options["settings"] as string | undefined;
  const flags: Partial<Record<SettingName, string | string[]>> = {};
  for (const name of settingNames) {
    if (options[name] !== undefined) flags[name] = options[name] as string | string[];
  }
  if (options["workers"] !== undefined) flags.gatewayWorkers ??= options["workers"] as string;
  return loadSettings({ file: path === undefined ? undefined : readFile(path), environment: process.env, flags });
}

function readFile(path: string): { path: string; text: string } {
  try {
    return { path, text: readFileSync(path, "utf8") };
  } catch (cause) {
    throw SettingsErrors.FILE_UNREADABLE(
      `${path} cannot be read: ${messageOf(cause)} (--settings, POSTHOUSE_SETTINGS).`,
      {
        cause,
      },
    );
  }
}

try {
  await program().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
  } else if (error instanceof AppError) {
    process.stderr.write(`posthouse: ${error.code}: ${error.message}\n`);
    process.exitCode = error.status === 400 ? EXIT.usage : EXIT.failed;
  } else {
    process.stderr.write(`posthouse: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exitCode = EXIT.failed;
  }
  // What a failed start left behind must not keep a dead program alive.
  process.exit();
}
