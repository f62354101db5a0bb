/** `posthouse apply -f PATH`: makes the server as the resources describe it. A repeated apply changes nothing. */
import type { Command } from "commander";
import {
  altersServer,
  changeText,
  makePlan,
  planRequest,
  planSummary,
  withPlanOptions,
  type PlanRequest,
} from "../apply-options.ts";
import { confirm, withYes } from "../confirm.ts";
import { controlAction } from "../control-verb.ts";
import { CliErrors } from "../errors.ts";
import { withExamples } from "../options.ts";
import { startProgress } from "../progress.ts";
import { applyPlan, type ApplyResult } from "../resources/apply.ts";
import { type Column, formatFor, formatRows, paintFor, withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

const COLUMNS: readonly Column<ApplyResult>[] = [
  ["KIND", ({ kind }) => kind],
  ["NAME", ({ name }) => name],
  ["ACTION", ({ action }) => action],
  ["OUTCOME", ({ outcome }) => outcome],
  ["DETAIL", ({ detail }) => detail],
];

export function define(command: Command, context: VerbContext): void {
  withYes(withOutput(withPlanOptions(command)))
    .option("--dry-run", "only show what would change, as posthouse plan does")
    .option("--keep-going", "continue with the other resources after a failure")
    .option("--reason <text>", "reason of the releases, shown in the history");
  withExamples(command, [
    "posthouse apply -f resources/ --owner platform",
    "posthouse apply -f resources/ --owner platform --prune --yes",
    "posthouse apply -f - < orders.yaml",
  ]);
  controlAction<PlanRequest>(
    command,
    context,
    async ({ client, options, terminal }, request) => {
      const { changes, inventory } = await makePlan(client, terminal, request);
      const paint = paintFor(terminal);
      const removals = changes.filter(({ action }) => action === "delete");
      if (options["dryRun"] === true) {
        for (const change of changes) if (altersServer(change)) terminal.out(changeText(change, paint));
        return terminal.err(`${planSummary(changes)}; nothing is written\n`);
      }
      if (removals.length > 0) {
        for (const change of removals) terminal.err(changeText(change, paint));
        await confirm(terminal, options, `Remove ${removals.length} resources?`);
      }
      const { owner, options: applied } = request;
      using progress = startProgress(terminal, "applying");
      const keepGoing = options["keepGoing"] === true;
      const onChange = ({ kind, id }: (typeof changes)[number]) => progress.show(`applying ${kind.kind} ${id}`);
      const results = await applyPlan(client, { changes, inventory, owner, keepGoing, options: applied, onChange });
      progress[Symbol.dispose]();
      terminal.out(await formatRows(formatFor(options, terminal), COLUMNS, results, paint));
      const failed = results.filter(({ outcome }) => outcome === "failed").length;
      if (failed > 0) {
        const left = results.filter(({ outcome }) => outcome === "not-tried").length;
        throw CliErrors.APPLY_INCOMPLETE(
          `${failed} of ${results.length} resources failed, and ${left} were not tried.`,
        );
      }
    },
    (_args, options) => planRequest(options, context.terminal),
  );
}
