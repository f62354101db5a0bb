/** `posthouse services show SERVICE`: its counts, its policy and its instances. */
import type { Command } from "commander";
import { withNamespace } from "../namespace.ts";
import { controlAction } from "../control-verb.ts";
import { detailText } from "../detail.ts";
import { INSTANCE_COLUMNS } from "../instance-columns.ts";
import { withExamples } from "../options.ts";
import { formatDocument, formatFor, formatRows, isDocument, paintFor, withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withOutput(withNamespace(command, "the services"));
  withExamples(command, ["posthouse services show orders", "posthouse services show orders -o yaml"]);
  controlAction(command, context, async ({ client, args: [service = ""], options, terminal }) => {
    const name = { namespace: String(options["namespace"]), service };
    const [view, { instances }] = await Promise.all([client.registry.service(name), client.registry.instances(name)]);
    const format = formatFor(options, terminal);
    if (isDocument(format)) return terminal.out(await formatDocument(format, { ...view, list: instances }));
    if (format !== "table") return terminal.out(await formatRows(format, INSTANCE_COLUMNS, instances));
    const { fallback, subsets, minHealthyPercent } = view.policy;
    terminal.out(
      detailText([
        ["service", `${view.namespace}/${view.service}`],
        ["instances", `${view.instances}: ${view.passing} passing, ${view.warning} warning, ${view.critical} critical`],
        ["draining", view.draining || undefined],
        ["panic", view.panic ? (view.reason ?? "yes") : undefined],
        ["healthy at least", minHealthyPercent === undefined ? undefined : `${minHealthyPercent} %`],
        ["fallback", fallback && `${fallback.namespace ?? name.namespace}/${fallback.service}`],
        ["subsets", subsets && Object.keys(subsets).join(", ")],
      ]),
    );
    if (instances.length === 0) return;
    terminal.out(`\n${await formatRows(format, INSTANCE_COLUMNS, instances, paintFor(terminal))}`);
  });
}
