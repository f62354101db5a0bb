/** `posthouse config import PATH`. On failure it first prints the problems and the sets that were released. */
import type { Command } from "commander";
import { AppError } from "#base";
import type { FileProblem, ImportQuery, ImportReport } from "#config-server/api";
import { readImport } from "../config-files.ts";
import { showProblem, showReport } from "../config-report.ts";
import { EMERGENCY, REASON, reasonOf } from "../config-verb.ts";
import { withControlClient } from "../control-client.ts";
import { CliErrors } from "../errors.ts";
import { CONTROL_SETTINGS, givenOnly, readSettings, withExamples, withSettings } from "../options.ts";
import type { VerbContext } from "../verb.ts";

interface ImportOptions extends Record<string, unknown> {
  readonly namespace?: string;
  readonly app?: string;
  readonly profile?: string;
  readonly keep?: boolean;
  readonly dryRun?: boolean;
  readonly draft?: boolean;
}

export function define(command: Command, { terminal }: VerbContext): void {
  command
    .option("--namespace <name>", "namespace of all sets")
    .option("--app <name>", "app of files without folders")
    .option("--profile <name>", "profile of files without folders")
    .option("--dry-run", "only show the changes")
    .option("--draft", "save the changes as drafts instead of releasing them")
    .option("--keep", "keep keys that have no file")
    .option(...REASON)
    .option(...EMERGENCY);
  withSettings(command, CONTROL_SETTINGS);
  withExamples(command, [
    "posthouse config import config --dry-run",
    "posthouse config import config --reason 'from git'",
  ]);
  command.action(async (path: string, options: ImportOptions) => {
    const { namespace, app, profile, keep, dryRun, draft } = options;
    if (dryRun && draft) throw CliErrors.ARGUMENT_INVALID("--dry-run and --draft exclude each other.");
    const mode = dryRun ? "dry-run" : draft ? "draft" : "release";
    const query: ImportQuery = { mode, ...givenOnly({ namespace, app, profile, keep }), ...reasonOf(options) };
    const zip = await readImport(path);
    try {
      const settings = readSettings(options, terminal);
      showReport(terminal, await withControlClient(settings, (client) => client.config.importZip(zip, query)));
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      const { problems = [], report } = error.extra as { problems?: readonly FileProblem[]; report?: ImportReport };
      for (const problem of problems) showProblem(terminal, problem);
      if (report) showReport(terminal, report);
      throw error;
    }
  });
}
