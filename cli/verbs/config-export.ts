/** `posthouse config export [SET] --out PATH`. */
import type { Command } from "commander";
import { writeFolder, writeZipFile } from "../config-files.ts";
import { controlAction } from "../control-verb.ts";
import { CliErrors } from "../errors.ts";
import { countOption, givenOnly, withExamples } from "../options.ts";
import { startProgress } from "../progress.ts";
import type { SetName } from "#config-server/api";
import { parseSetName } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

interface ExportOptions extends Record<string, unknown> {
  readonly out: string;
  readonly namespace?: string;
  readonly app?: string;
  readonly at?: number;
}

export function define(command: Command, context: VerbContext): void {
  command
    .requiredOption("--out <path>", "a file that ends in .zip, or a folder that is new, empty or an earlier export")
    .option("--namespace <name>", "only this namespace; for one set: that of the context, else default")
    .option("--app <name>", "only this app")
    .option("--at <version>", "for one set: this version instead of the live one", countOption);
  withExamples(command, [
    "posthouse config export --out config",
    "posthouse config export orders/prod --out orders.zip",
  ]);
  controlAction<SetName | undefined>(
    command,
    context,
    async ({ client: { config }, options, terminal }, set) => {
      const { out, namespace, app, at: version } = options as ExportOptions;
      using _progress = startProgress(terminal, `exporting to ${out}`);
      const zip = set
        ? config.exportSet(set, givenOnly({ version }))
        : config.exportSets(givenOnly({ namespace, app }));
      if (out.endsWith(".zip")) await writeZipFile(out, zip);
      else terminal.out(`files written to ${out}: ${await writeFolder(out, zip)}\n`);
    },
    ([text], { namespace, at }, home) => {
      if (text !== undefined) return parseSetName(text, namespace as string | undefined, home);
      if (at !== undefined) throw CliErrors.ARGUMENT_INVALID("--at needs one set: export APP/PROFILE --at VERSION.");
      return undefined;
    },
  );
}
