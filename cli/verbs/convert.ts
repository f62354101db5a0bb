/** `posthouse convert PRODUCT EXPORT --out FOLDER`: a folder for `config import`, and a line for everything that differs. */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import { own } from "#base";
import { CONVERSIONS } from "../convert/conversions.ts";
import { readSource } from "../convert/source.ts";
import { CliErrors } from "../errors.ts";
import { withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

interface ConvertOptions {
  readonly out: string;
  readonly namespace?: string;
  readonly prefix?: string;
  readonly profiles?: readonly string[];
}

/** Only the user who converts may read the files, since values may be secrets. */
const MODE = { file: 0o600, folder: 0o700 } as const;

export function define(command: Command, { terminal }: VerbContext): void {
  const products = Object.entries(CONVERSIONS).map(([name, { reads }]) => `  ${name.padEnd(14)}${reads}`);
  command
    .requiredOption("--out <folder>", "a folder that is new or empty")
    .option("--namespace <name>", "namespace of all sets (default: default; apollo: the environment)")
    .option("--prefix <text>", "consul-kv: only keys below it; nacos: only this group")
    .option("--profiles <names...>", "nacos, spring-config: words that are profiles, as prod in orders-prod")
    .addHelpText("after", `\nProducts:\n${products.join("\n")}`);
  withExamples(command, [
    "posthouse convert nacos nacos_config_export.zip --profiles dev prod --out config",
    "posthouse convert kong kong.yaml --out routes && posthouse config import routes --dry-run",
  ]);
  command.action(async (product: string, path: string, options: ConvertOptions) => {
    const row = own(CONVERSIONS, product);
    if (!row) {
      throw CliErrors.ARGUMENT_INVALID(
        `"${product}" cannot be converted. Use one of ${Object.keys(CONVERSIONS).join(", ")}.`,
      );
    }
    await requireEmpty(options.out);
    const convert = await row.load();
    const { namespace, prefix, profiles = [] } = options;
    const { files, notes } = convert(await readSource(path), { namespace, prefix, profiles });
    for (const [name, bytes] of files) {
      const target = join(options.out, name);
      await mkdir(dirname(target), { recursive: true, mode: MODE.folder });
      await writeFile(target, bytes, { mode: MODE.file });
    }
    for (const note of notes) terminal.err(`${note}\n`);
    terminal.out(`files written to ${options.out}: ${files.size}, notes: ${notes.size}\n`);
  });
}

async function requireEmpty(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: MODE.folder });
  if ((await readdir(folder)).length > 0) {
    throw CliErrors.FOLDER_NOT_EMPTY(`--out ${folder}: the folder is not empty. Use a new or empty folder.`);
  }
}
