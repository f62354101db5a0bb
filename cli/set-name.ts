/** Names of config sets on the command line: NAMESPACE/APP/PROFILE, and shorter forms. */
import type { Command } from "commander";
import type { SetName } from "#config-server/api";
import { CliErrors } from "./errors.ts";
import { DEFAULT_NAMESPACE } from "./namespace.ts";

const NAME = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const SET = new RegExp(`^(?:(?:(${NAME})/)?(${NAME})/)?(${NAME}(?:@${NAME})?)$`);

export function setText({ namespace, app, profile }: SetName): string {
  return `${namespace}/${app}/${profile}`;
}

/**
 * `orders`, `orders/prod` or `test/orders/prod`; a profile may have a label, as in `orders/prod@blue`.
 * `namespace`: that of the flag. `home`: the namespace of a name without one.
 * @throws CLI_ARGUMENT_INVALID also when the text names a different namespace
 */
export function parseSetName(text: string, namespace?: string, home = DEFAULT_NAMESPACE): SetName {
  const [whole, first, second, last = ""] = SET.exec(text) ?? [];
  const name = second === undefined ? { app: last, profile: "default" } : { app: second, profile: last };
  if (whole === undefined || name.app.includes("@")) {
    throw CliErrors.ARGUMENT_INVALID(
      `"${text}" is not a valid name of a set. Use APP, APP/PROFILE or NAMESPACE/APP/PROFILE, such as orders/prod.`,
    );
  }
  if (first !== undefined && namespace !== undefined && first !== namespace) {
    throw CliErrors.ARGUMENT_INVALID(
      `"${text}" has the namespace ${first}, but --namespace is ${namespace}. Leave out one of the two.`,
    );
  }
  return { namespace: first ?? namespace ?? home, ...name };
}

/** Adds `--namespace` for a set that is named without one. */
export function withNamespaceOfSet(command: Command): Command {
  return command.option(
    "--namespace <name>",
    "namespace of sets that are given without one (default: that of the context, else default)",
  );
}
