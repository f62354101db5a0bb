/** Names of config sets as the command line prints and takes them: NAMESPACE/APP/PROFILE, and shorter. */
import type { Command } from "commander";
import type { SetName } from "#config-server/api";
import { CliErrors } from "./errors.ts";

const NAME = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const SET = new RegExp(`^(?:(?:(${NAME})/)?(${NAME})/)?(${NAME}(?:@${NAME})?)$`);

export function setText({ namespace, app, profile }: SetName): string {
  return `${namespace}/${app}/${profile}`;
}

/**
 * `orders`, `orders/prod` or `test/orders/prod`; a profile may have a label, as in `orders/prod@blue`.
 * `namespace`: of one that names none; absent: `default`.
 * @throws CLI_ARGUMENT_INVALID also when the text names another namespace than the one that is given
 */
export function parseSetName(text: string, namespace?: string): SetName {
  const [whole, first, second, last = ""] = SET.exec(text) ?? [];
  const name = second === undefined ? { app: last, profile: "default" } : { app: second, profile: last };
  if (whole === undefined || name.app.includes("@")) {
    throw CliErrors.ARGUMENT_INVALID(
      `"${text}" is not the name of a set. Write APP, APP/PROFILE or NAMESPACE/APP/PROFILE, such as orders/prod.`,
    );
  }
  if (first !== undefined && namespace !== undefined && first !== namespace) {
    throw CliErrors.ARGUMENT_INVALID(
      `"${text}" names the namespace ${first}, and --namespace says ${namespace}. Leave one of the two out.`,
    );
  }
  return { namespace: first ?? namespace ?? "default", ...name };
}

/** Adds `--namespace` for a set that is named without one. */
export function withNamespaceOfSet(command: Command): Command {
  return command.option("--namespace <name>", "namespace of a set that is named without one (default: default)");
}
