/** `posthouse join-token create`. Standard output has only the token, so that a script can store it. */
import { type Command, Option } from "commander";
import { JOIN_TOKEN_SECONDS_MAX, type JoinTokenRequest } from "#identity/api";
import { controlAction } from "../control-verb.ts";
import { givenOnly, secondsOption, withExamples } from "../options.ts";
import { minuteText } from "../time-text.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  command
    .addOption(new Option("--kind <kind>", "what joins").choices(["agent", "gateway"]).default("agent"))
    .option("--name <name>", "the only name that the node can have; absent: any new one")
    .option("--services <services...>", "services that it registers and gets certificates for; * for all")
    .option("--apps <apps...>", "apps whose configs and secrets it reads; * for all")
    .option("--namespaces <namespaces...>", "only these namespaces; absent: all")
    .option("--dns <names...>", "DNS names of the node in its certificate")
    .option("--ips <addresses...>", "IP addresses of the node in its certificate")
    .option(
      "--ttl-seconds <seconds>",
      "time after which the token expires; absent: half an hour",
      secondsOption(JOIN_TOKEN_SECONDS_MAX),
    );
  withExamples(command, [
    "posthouse join-token create --name web-1 --services orders --apps orders",
    "posthouse join-token create --kind gateway --name edge-1 --ttl-seconds 300 > edge-1.token",
  ]);
  controlAction(command, context, async ({ client, options, terminal }) => {
    const { kind, name, services, apps, namespaces, dns, ips, ttlSeconds } = options;
    const request = givenOnly({ kind, name, services, apps, namespaces, dns, ips, ttlSeconds }) as JoinTokenRequest;
    const { id, token, expiresAt } = await client.identity.createJoinToken(request);
    terminal.out(`${token}\n`);
    terminal.err(`join token ${id} for one ${request.kind}, until ${minuteText(expiresAt)}; it is not shown again\n`);
  });
}
