/** `posthouse node rm KIND NAME`. */
import type { Command } from "commander";
import type { NodeKind } from "#identity/api";
import { confirm, withYes } from "../confirm.ts";
import { controlAction } from "../control-verb.ts";
import { CliErrors } from "../errors.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withYes(command);
  withExamples(command, ["posthouse node rm agent web-1 --yes"]);
  controlAction<NodeKind>(
    command,
    context,
    async ({ client, args: [, name = ""], options, terminal }, kind) => {
      await confirm(terminal, options, `Remove the ${kind} ${name}? Its certificates are revoked at once.`);
      await client.identity.removeNode(kind, name);
      terminal.out(`the ${kind} ${name} is removed\n`);
    },
    ([kind]) => {
      if (kind === "agent" || kind === "gateway") return kind;
      throw CliErrors.ARGUMENT_INVALID(`"${kind}" is not a kind of node. Use agent or gateway.`);
    },
  );
}
