/** `posthouse config drafts set SET KEY [FILE]`: drafts a value of a key, or its removal, for a review. */
import { type Command, Option } from "commander";
import { setAction } from "../config-verb.ts";
import { CliErrors } from "../errors.ts";
import { readInput } from "../input.ts";
import { itemOf } from "../live-set.ts";
import { withExamples } from "../options.ts";
import { planKey } from "../plan-key.ts";
import { setText } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  command
    .option("--secret", "encrypt the value in the store, and mask it for people")
    .option("--no-secret", "store the value in the clear, also when it was a secret")
    .addOption(new Option("--remove", "draft the removal of the key").conflicts(["secret", "dryRun"]))
    .option("--dry-run", "only check the value and show the difference");
  withExamples(command, [
    "posthouse config drafts set orders/prod app.yaml app.yaml",
    "posthouse config drafts set orders/prod old.yaml --remove",
  ]);
  setAction(command, context, async ({ client, set, args: [key = "", file], options, terminal }) => {
    const isRemoval = options["remove"] === true;
    if (isRemoval && file !== undefined) {
      throw CliErrors.ARGUMENT_INVALID(`--remove drafts the removal of "${key}", so leave out ${file}.`);
    }
    if (isRemoval) {
      await client.config.saveDraft(set, key, { remove: true });
      return terminal.out(`the removal of ${key} from ${setText(set)} is drafted\n`);
    }
    const bytes = await readInput(terminal, file);
    if (options["dryRun"] === true) return planKey({ client, terminal, set }, key, bytes);
    const secret = command.getOptionValueSource("secret") === "cli" ? options["secret"] === true : undefined;
    await client.config.saveDraft(set, key, await itemOf(key, bytes, secret));
    terminal.out(`${key} of ${setText(set)} is drafted\n`);
  });
}
