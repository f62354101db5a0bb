/** `posthouse config import PATH`. On failure it first prints the problems and the sets that were released. */
import type { Command } from "commander";
import { AppError } from "#base";
import type { FileProblem, ImportQuery, ImportReport } from "#config-server/api";
import { readImport } from "../config-files.ts";
import { showProblem, showReport } from "../config-report.ts";
import { EMERGENCY, REASON, reasonOf } from "../config-verb.ts";
import { controlAction } from "../control-verb.ts";
import { CliErrors } from "../errors.ts";
import { givenOnly, withExamples } from "../options.ts";
import { startProgress } from "../progress.ts";
import type { VerbContext } from "../verb.ts";

interface ImportOptions extends Record<string, unknown> {
  readonly namespace?: string;
  readonly app?: string;
  readonly profile?: string;
  readonly keep?: boolean;
  readonly dryRun?: boolean;
  readonly draft?: boolean;
}

export function define(command: Command, context: VerbContext): void {
  command
    .option("--namespace <name>", "namespace of all sets")
    .option("--app <name>", "app of files without folders")
    .option("--profile <name>", "profile of files without folders")
    .option("--dry-run", "only show the changes")
    .option("--draft", "save the changes as drafts instead of releasing them")
    .option("--keep", "keep keys that have no file")
    .option(...REASON)
    .option(...EMERGENCY);
  withExamples(command, [
    "posthouse config import config --dry-run",
    "posthouse config import config --reason 'from git'",
  ]);
  controlAction<ImportWork>(
    command,
    context,
    async ({ client, args: [path = ""], terminal }, { zip, query }) => {
      try {
        using progress = startProgress(terminal, `sending ${path}, ${zip.length} bytes`);
        const report = await client.config.importZip(zip, query);
        progress[Symbol.dispose]();
        showReport(terminal, report);
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        const { problems = [], report } = error.extra as { problems?: readonly FileProblem[]; report?: ImportReport };
        for (const problem of problems) showProblem(terminal, problem);
        if (report) showReport(terminal, report);
        throw error;
      }
    },
    ([path = ""], options) => workOf(path, options),
  );
}

interface ImportWork {
  readonly zip: Uint8Array;
  readonly query: ImportQuery;
}

async function workOf(path: string, options: ImportOptions): Promise<ImportWork> {
  const { namespace, app, profile, keep, dryRun, draft } = options;
  if (dryRun && draft) throw CliErrors.ARGUMENT_INVALID("--dry-run and --draft exclude each other.");
  const mode = dryRun ? "dry-run" : draft ? "draft" : "release";
  const query: ImportQuery = { mode, ...givenOnly({ namespace, app, profile, keep }), ...reasonOf(options) };
  return { query, zip: await readImport(path) };
}
