/** Settings of the server as flags of a command. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
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
import { type GivenOptions, settingOption } from "./options.ts";
import type { Terminal } from "./terminal.ts";

/** Adds settings as flags: all of them, or those that a command needs. */
export function withSettings(command: Command, names: readonly SettingName[] = settingNames): Command {
  const known = new Set(command.options.map(({ long }) => long));
  if (!known.has("--settings")) {
    command.addOption(settingOption("--settings <file>", "settings file, YAML or JSON").env("POSTHOUSE_SETTINGS"));
  }
  for (const name of names) {
    if (known.has(flagOf(name))) continue;
    const row = settingRow(name);
    const given = row.default === undefined ? "" : ` (default ${JSON.stringify(row.default)})`;
    // A flag without a value is on; `--flag false` turns off a setting of a settings file.
    const value = row.type === "boolean" ? "[value]" : row.type === "array" ? "<value...>" : "<value>";
    command.addOption(settingOption(`${flagOf(name)} ${value}`, `${row.description}${given}`));
  }
  return command;
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
