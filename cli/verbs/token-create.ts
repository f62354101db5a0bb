/** `posthouse token create NAME`. Standard output has only the token, so that a script can store it. */
import type { Command } from "commander";
import type { TokenRequest } from "#access/api";
import { controlAction } from "../control-verb.ts";
import { type GivenOptions, secondsOption, withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  command
    .requiredOption(
      "--policy <policies...>",
      "policies of the token, which grant together: operator, publisher, editor, viewer, gateway, agent, service, or your own",
    )
    .option(
      "--apps <apps...>",
      "only the configs of these apps, with the policy agent or service also their secrets; * for all",
    )
    .option("--services <services...>", "only instances of these services; absent: all")
    .option("--namespaces <namespaces...>", "only these namespaces; absent: all")
    .option("--ttl-seconds <seconds>", "time after which the token expires; absent: never", secondsOption());
  withExamples(command, [
    "posthouse token create host-1 --policy agent --apps orders --services orders > agent.token",
    "posthouse token create ci --policy editor --ttl-seconds 3600",
  ]);
  controlAction(command, context, async ({ client, args: [name = ""], options, terminal }) => {
    const request: TokenRequest = {
      name,
      policies: options["policy"] as string[],
      ...pick(options, ["apps", "services", "namespaces"]),
      ...(options["ttlSeconds"] === undefined ? {} : { ttlSeconds: options["ttlSeconds"] as number }),
    };
    const { id, token } = await client.access.issueToken(request);
    terminal.out(`${token}\n`);
    terminal.err(`token ${id} of "${name}" with the policies ${request.policies.join(", ")}; it is not shown again\n`);
  });
}

/** The limits that were given. */
function pick(options: GivenOptions, names: readonly ("apps" | "services" | "namespaces")[]): Partial<TokenRequest> {
  return Object.fromEntries(names.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])));
}
