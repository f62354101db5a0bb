/** `posthouse config sync SOURCE`. */
import type { Command } from "commander";
import { AppError } from "#base";
import type { FileProblem } from "#config-server/api";
import { shortCommit, showProblem, showReport } from "../config-report.ts";
import { controlAction } from "../control-verb.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  const { terminal } = context;
  controlAction(command, context, async ({ client, args: [source = ""] }) => {
    try {
      const { commit, sets } = await client.config.syncSource(source);
      showReport(terminal, { mode: "release", sets, ignored: [] });
      terminal.out(`${source} is live at ${shortCommit(commit)}\n`);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      const { problems = [] } = error.extra as { problems?: readonly FileProblem[] };
      for (const problem of problems) showProblem(terminal, problem);
      throw error;
    }
  });
}
