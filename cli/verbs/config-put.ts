/** `posthouse config put SET KEY [FILE]`. */
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { messageOf } from "#base";
import { REASON, setAction } from "../config-verb.ts";
import { CliErrors } from "../errors.ts";
import { withExamples } from "../options.ts";
import { setText } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  const { terminal } = context;
  command
    .option(...REASON)
    .option("--secret", "encrypt the value in the store, and mask it for people")
    .option("--no-secret", "store the value in the clear, also when it was a secret");
  withExamples(command, [
    "posthouse config put orders app.yaml app.yaml --reason 'a larger pool'",
    'printf %s "$PASSWORD" | posthouse config put orders/prod db.password --secret',
  ]);
  setAction(command, context, async ({ client, set, args: [key = "", file], options }) => {
    const bytes =
      file === undefined || file === "-"
        ? await terminal.input()
        : await readFile(file).catch((cause: unknown) => {
            throw CliErrors.FILE_UNREADABLE(`${file} cannot be read: ${messageOf(cause)}.`, { cause });
          });
    const { version } = await client.config.putKey(set, key, bytes, {
      ...(typeof options["reason"] === "string" ? { reason: options["reason"] } : {}),
      ...(command.getOptionValueSource("secret") === "cli" ? { secret: options["secret"] === true } : {}),
    });
    terminal.out(`${setText(set)}@${version} is released\n`);
  });
}
