/** `posthouse config rules get`: the rules for every release of a namespace. */
import type { Command } from "commander";
import { controlAction } from "../control-verb.ts";
import { detailText } from "../detail.ts";
import { withNamespace } from "../namespace.ts";
import { withExamples } from "../options.ts";
import { formatDocument, formatFor, isParsedFormat, withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withOutput(withNamespace(command, "the rules"));
  withExamples(command, ["posthouse config rules get --namespace prod"]);
  controlAction(command, context, async ({ client, options, terminal }) => {
    const namespace = String(options["namespace"]);
    const { rules, revision } = await client.config.rules(namespace);
    const format = formatFor(options, terminal);
    const shown = { namespace, ...rules, revision };
    if (isParsedFormat(format)) return terminal.out(await formatDocument(format, shown));
    const { keys, valueBytes, releaseBytes } = rules.limits ?? {};
    terminal.out(
      detailText([
        ["namespace", namespace],
        ["review", rules.review],
        ["keys of a set", keys],
        ["bytes of a value", valueBytes],
        ["bytes of a release", releaseBytes],
        ["revision", revision],
      ]),
    );
  });
}
