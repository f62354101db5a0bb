/** The option `--namespace`: a flag, else POSTHOUSE_NAMESPACE, else that of the context, else `default`. */
import { type Command, Option } from "commander";
import { CliErrors } from "./errors.ts";

/** The variable that also names the namespace of a service with the Node client. */
export const NAMESPACE_VARIABLE = "POSTHOUSE_NAMESPACE";
export const DEFAULT_NAMESPACE = "default";

const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Adds the option. `of`: the objects, such as `the locks`. */
export function withNamespace(command: Command, of: string): Command {
  const option = new Option("--namespace <name>", `namespace of ${of}`);
  return command.addOption(option.default(DEFAULT_NAMESPACE, "that of the context, else default"));
}

/** The namespace of a command whose option `withNamespace` added. `home`: the one without a flag. */
export function namespaceOf(command: Command, home: string): string {
  const isGiven = command.getOptionValueSource("namespace") !== "default";
  return isGiven ? String(command.opts<Record<string, unknown>>()["namespace"]) : home;
}

/** @throws CLI_ARGUMENT_INVALID */
export function requireNamespace(name: string): string {
  if (NAME.test(name)) return name;
  throw CliErrors.ARGUMENT_INVALID(
    `"${name}" is not a valid namespace. Use a-z, 0-9 and -, at most 63, such as staging.`,
  );
}
