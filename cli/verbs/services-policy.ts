/** `posthouse services policy get SERVICE`: the policy of a service as a document, which `services policy set` reads. */
import type { Command } from "commander";
import { controlAction } from "../control-verb.ts";
import { withNamespace } from "../namespace.ts";
import { withExamples } from "../options.ts";
import { formatDocument, formatFor, isParsedFormat, withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withOutput(withNamespace(command, "the service"));
  withExamples(command, [
    "posthouse services policy get orders",
    "posthouse services policy get orders -o json > policy.json",
  ]);
  controlAction(command, context, async ({ client, args: [service = ""], options, terminal }) => {
    const { policy } = await client.registry.service({ namespace: String(options["namespace"]), service });
    if (Object.keys(policy).length === 0) terminal.err(`${service} has no policy, so the defaults apply\n`);
    const format = formatFor(options, terminal);
    terminal.out(await formatDocument(isParsedFormat(format) ? format : "yaml", policy));
  });
}
