/** Options that verbs share: settings as flags, and checked values. */
import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError, Option } from "commander";
import { messageOf } from "#base";
import {
  flagOf,
  type LoadedSettings,
  loadSettings,
  type SettingName,
  settingNames,
  settingRow,
  SettingsErrors,
} from "#settings";
import type { Terminal } from "./terminal.ts";

/** Options as commander passes them. */
export type GivenOptions = Record<string, unknown>;

/** The settings of a command that talks to a control plane. */
export const CONTROL_SETTINGS = ["controlUrls", "token"] as const;

/** Adds settings as flags: all of them, or those that a command needs. */
export function withSettings(command: Command, names: readonly SettingName[] = settingNames): Command {
  command.addOption(option("--settings <file>", "settings file, YAML or JSON").env("POSTHOUSE_SETTINGS"));
  for (const name of names) {
    const row = settingRow(name);
    const given = row.default === undefined ? "" : ` (default ${JSON.stringify(row.default)})`;
    // A flag without a value is on; `--flag false` turns off a setting of a settings file.
    const value = row.type === "boolean" ? "[value]" : row.type === "array" ? "<value...>" : "<value>";
    command.addOption(option(`${flagOf(name)} ${value}`, `${row.description}${given}`));
  }
  return command;
}

function option(flags: string, description: string): Option {
  return new Option(flags, description).helpGroup("Settings:");
}

/** The settings from flags, the environment and the settings file. */
export function readSettings(options: GivenOptions, { environment }: Terminal): LoadedSettings {
  const path = (options["settings"] as string | undefined) ?? environment["POSTHOUSE_SETTINGS"];
  const flags: Partial<Record<SettingName, string | string[]>> = {};
  for (const name of settingNames) {
    const given = options[name];
    if (given !== undefined) flags[name] = given === true ? "true" : (given as string | string[]);
  }
  const file = path === undefined || path === "" ? undefined : readSettingsFile(path);
  return loadSettings({ file, environment, flags });
}

function readSettingsFile(path: string): { path: string; text: string } {
  try {
    return { path, text: readFileSync(path, "utf8") };
  } catch (cause) {
    throw SettingsErrors.FILE_UNREADABLE(
      `${path} cannot be read: ${messageOf(cause)} (--settings, POSTHOUSE_SETTINGS).`,
      { cause },
    );
  }
}

/** Adds examples below the help of a verb. */
export function withExamples(command: Command, examples: readonly string[]): Command {
  return command.addHelpText("after", `\nExamples:\n${examples.map((line) => `  ${line}`).join("\n")}`);
}

/** Parses a number of seconds, up to `max`. */
export const secondsOption =
  (max = Infinity) =>
  (text: string): number => {
    const value = Number(text);
    if (text.trim() !== "" && value >= 0 && value <= max) return value;
    throw new InvalidArgumentError(`It must be a number of seconds${max === Infinity ? "" : `, at most ${max}`}.`);
  };

/** Parses a whole number from 1, such as a version. */
export function countOption(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new InvalidArgumentError("It must be a whole number from 1.");
}

/** The fields that are not undefined. */
export function givenOnly<T extends object>(options: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as { [Key in keyof T]?: Exclude<T[Key], undefined> };
}
