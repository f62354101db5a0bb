/** `posthouse config rollout status SET`: the stages of the running rollout, or with `--wait` its end. */
import type { Command } from "commander";
import { setAction } from "../config-verb.ts";
import { detailText } from "../detail.ts";
import { withExamples } from "../options.ts";
import { followRollout } from "../rollout-progress.ts";
import { setText } from "../set-name.ts";
import { formatDocument, formatFor, isDocument, withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withOutput(command).option("--wait", "wait for the end; exit code 1 when it is rolled back");
  withExamples(command, ["posthouse config rollout status orders/prod --wait"]);
  setAction(command, context, async ({ client, set, options, terminal }) => {
    const view = await client.config.rollout(set);
    if (options["wait"] === true) return context.exit(await followRollout(client, terminal, set, view.version));
    const format = formatFor(options, terminal);
    if (isDocument(format)) return terminal.out(await formatDocument(format, view));
    const { stages, stage, instances = [] } = view;
    const missing = instances.filter(({ reached, outcome }) => reached && outcome !== "applied");
    terminal.out(
      detailText([
        ["set", `${setText(set)}@${view.version}, from ${view.baseVersion}`],
        ["state", view.state],
        ["stage", `${stage + 1} of ${stages.length}`],
        ["reached", stages[stage]?.reached],
        ["applied", stages[stage]?.applied],
        ["waits for", view.waitsFor],
        ["because", view.because],
        ["started", `${view.startedAt} by ${view.author}`],
        ["missing", missing.map(({ instance }) => instance).join(", ")],
      ]),
    );
  });
}
