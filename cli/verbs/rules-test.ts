/** `posthouse rules test FROM TO`: whether a service may call another, and which rule decides. */
import type { Command } from "commander";
import type { InNamespace } from "../catalog.ts";
import { controlAction } from "../control-verb.ts";
import { detailText } from "../detail.ts";
import { EXIT } from "../exit-codes.ts";
import { withNamespace } from "../namespace.ts";
import { withExamples } from "../options.ts";
import { formatDocument, formatFor, isParsedFormat, withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withOutput(command);
  withNamespace(command, "the called service");
  command.option("--exit-code", "exit with 1 when it is denied");
  withExamples(command, [
    "posthouse rules test orders stock",
    "posthouse rules test other/orders stock --namespace prod",
    "posthouse rules test gateway web --exit-code",
  ]);
  controlAction<InNamespace & { from: string; to: string }>(
    command,
    context,
    async ({ client, options, terminal }, question) => {
      const { tested } = await client.serviceRules.get(question);
      if (!tested) return;
      const format = formatFor(options, terminal);
      if (isParsedFormat(format)) terminal.out(await formatDocument(format, tested));
      else {
        const { allowed, reportOnly, rule, line, why } = tested;
        terminal.out(
          detailText([
            ["allowed", allowed ? "yes" : reportOnly ? "no, and the rules only report" : "no"],
            ["rule", rule],
            ["line", line],
            ["why", why],
          ]),
        );
      }
      if (options["exitCode"] === true && !tested.allowed) context.exit(EXIT.failed);
    },
    ([from = "", to = ""], { namespace }) => ({ namespace: namespace as string, from, to }),
  );
}
