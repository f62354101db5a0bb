/** Options that verbs share, and checked values. Those that are settings of the server are in setting-options.ts. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { CONTROL_ROWS } from "#settings/control";
import { rememberExamples } from "./command-tree.ts";

/** Options as commander passes them. */
export type GivenOptions = Record<string, unknown>;

export function settingOption(flags: string, description: string): Option {
  return new Option(flags, description).helpGroup("Settings:");
}

/** Adds the options that name the control plane. */
export function withControl(command: Command): Command {
  const { controlUrls, token, controlCaFile, controlFingerprint } = CONTROL_ROWS;
  const [url] = controlUrls.default;
  return command
    .addOption(settingOption("--context <name>", "context to use (posthouse context ls), before the environment"))
    .addOption(settingOption("--settings <file>", "settings file, YAML or JSON").env("POSTHOUSE_SETTINGS"))
    .addOption(settingOption("--control-urls <value...>", `${controlUrls.description} (default ["${url}"])`))
    .addOption(settingOption("--token <value>", token.description))
    .addOption(settingOption("--control-ca-file <path>", controlCaFile.description))
    .addOption(settingOption("--control-fingerprint <hex>", controlFingerprint.description));
}

/** Adds examples below the help of a verb. */
export function withExamples(command: Command, examples: readonly string[]): Command {
  rememberExamples(command, examples);
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

/** Parses a revision or version to compare with; 0 means that nothing is there yet. */
export function casOption(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError("It must be a whole number from 0.");
}

/** The fields that are not undefined. */
export function givenOnly<T extends object>(options: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as { [Key in keyof T]?: Exclude<T[Key], undefined> };
}
