/** `posthouse plan -f PATH`, and `diff -f PATH`: what an apply would change. Nothing is written. */
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
import { controlAction } from "../control-verb.ts";
import { EXIT } from "../exit-codes.ts";
import { withExamples } from "../options.ts";
import { formatDocument, formatFor, isDocument, paintFor, withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  const name = command.name();
  withOutput(withPlanOptions(command)).option("--exit-code", `exit with ${EXIT.failed} when something would change`);
  withExamples(command, [
    `posthouse ${name} -f resources/ --owner platform`,
    `posthouse ${name} -f resources/ --owner platform --prune --exit-code`,
  ]);
  controlAction<PlanRequest>(
    command,
    context,
    async ({ client, options, terminal }, request) => {
      const { changes } = await makePlan(client, terminal, request);
      if (options["exitCode"] === true && changes.some(altersServer)) context.exit(EXIT.failed);
      const format = formatFor(options, terminal);
      if (isDocument(format)) {
        const rows = changes.map(({ action, kind, id, lines }) => ({ kind: kind.kind, name: id, action, lines }));
        return terminal.out(await formatDocument(format, rows));
      }
      const paint = paintFor(terminal);
      for (const change of changes) if (change.action !== "unchanged") terminal.out(changeText(change, paint));
      terminal.err(`${planSummary(changes)}\n`);
    },
    (_args, options) => planRequest(options, context.terminal),
  );
}
