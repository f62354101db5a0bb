/** `posthouse rules test FROM TO`: whether a service may call another, and which rule decides. */
import type { Command } from "commander";
import type { RuleVerdict } from "#sidecar/api";
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
      terminal.out(isParsedFormat(format) ? await formatDocument(format, tested) : verdictText(tested));
      if (options["exitCode"] === true && !tested.allowed) context.exit(EXIT.failed);
    },
    ([from = "", to = ""], { namespace }) => ({ namespace: namespace as string, from, to }),
  );
}

function verdictText({ allowed, reportOnly, rule, line, why }: RuleVerdict): string {
  return detailText([
    ["allowed", allowed ? "yes" : reportOnly ? "no, and the rules only report" : "no"],
    ["rule", rule],
    ["line", line],
    ["why", why],
  ]);
}
