/** `posthouse tokens create NAME`. Standard output has only the token, so that a script can store it. */
import { type Command, Option } from "commander";
import type { TokenRequest } from "#access/api";
import { controlAction } from "../control-verb.ts";
import { type GivenOptions, secondsOption, withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

const ROLES = ["operator", "editor", "agent", "gateway", "reader"] as const satisfies TokenRequest["role"][];

export function define(command: Command, context: VerbContext): void {
  command
    .addOption(new Option("--role <role>", "permissions of the token").choices(ROLES).makeOptionMandatory())
    .option("--apps <apps...>", "only the configs of these apps, for the role agent with their secrets; * for all")
    .option("--services <services...>", "only instances of these services; absent: all")
    .option("--namespaces <namespaces...>", "only these namespaces; absent: all")
    .option("--ttl-seconds <seconds>", "time after which the token expires; absent: never", secondsOption());
  withExamples(command, [
    "posthouse tokens create host-1 --role agent --apps orders --services orders > agent.token",
    "posthouse tokens create ci --role editor --ttl-seconds 3600",
  ]);
  controlAction(command, context, async ({ client, args: [name = ""], options, terminal }) => {
    const request: TokenRequest = {
      name,
      role: options["role"] as TokenRequest["role"],
      ...pick(options, ["apps", "services", "namespaces"]),
      ...(options["ttlSeconds"] === undefined ? {} : { ttlSeconds: options["ttlSeconds"] as number }),
    };
    const { id, token } = await client.access.issueToken(request);
    terminal.out(`${token}\n`);
    terminal.err(`token ${id} of "${name}" with role ${request.role}; it is not shown again\n`);
  });
}

/** The limits that were given. */
function pick(options: GivenOptions, names: readonly ("apps" | "services" | "namespaces")[]): Partial<TokenRequest> {
  return Object.fromEntries(names.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])));
}
