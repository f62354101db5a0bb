/** `posthouse config export [SET] --out PATH`. */
import type { Command } from "commander";
import { writeFolder, writeZipFile } from "../config-files.ts";
import { withControlClient } from "../control-client.ts";
import { CliErrors } from "../errors.ts";
import { CONTROL_SETTINGS, countOption, givenOnly, readSettings, withExamples, withSettings } from "../options.ts";
import { parseSetName } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

interface ExportOptions extends Record<string, unknown> {
  readonly out: string;
  readonly namespace?: string;
  readonly app?: string;
  readonly at?: number;
}

export function define(command: Command, { terminal }: VerbContext): void {
  command
    .requiredOption("--out <path>", "a file that ends in .zip, or a folder that is new, empty or an earlier export")
    .option("--namespace <name>", "only this namespace; for one set: default")
    .option("--app <name>", "only this app")
    .option("--at <version>", "for one set: this version instead of the live one", countOption);
  withSettings(command, CONTROL_SETTINGS);
  withExamples(command, [
    "posthouse config export --out config",
    "posthouse config export orders/prod --out orders.zip",
  ]);
  command.action(async (text: string | undefined, options: ExportOptions) => {
    const { out, namespace, app, at: version } = options;
    const set = text === undefined ? undefined : parseSetName(text, namespace);
    if (!set && version !== undefined) {
      throw CliErrors.ARGUMENT_INVALID("--at needs one set: export APP/PROFILE --at VERSION.");
    }
    await withControlClient(readSettings(options, terminal), async ({ config }) => {
      const zip = set
        ? config.exportSet(set, givenOnly({ version }))
        : config.exportSets(givenOnly({ namespace, app }));
      if (out.endsWith(".zip")) await writeZipFile(out, zip);
      else terminal.out(`files written to ${out}: ${await writeFolder(out, zip)}\n`);
    });
  });
}
