/** `posthouse config put SET KEY [FILE]`, also `config set`. */
import type { Command } from "commander";
import { itemOf, releaseChanged } from "../live-set.ts";
import { REASON, setAction } from "../config-verb.ts";
import { readInput } from "../input.ts";
import { casOption, givenOnly, withExamples } from "../options.ts";
import { planKey } from "../plan-key.ts";
import { setText } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  command
    .option(...REASON)
    .option("--secret", "encrypt the value in the store, and mask it for people")
    .option("--no-secret", "store the value in the clear, also when it was a secret")
    .option("--cas <version>", "only if this is the live version of the set; 0: only if nothing is released", casOption)
    .option("--dry-run", "only check the value and show the difference");
  withExamples(command, [
    "posthouse config put orders app.yaml app.yaml --reason 'a larger pool'",
    "posthouse config set orders app.yaml app.yaml --cas 3 --dry-run",
    'printf %s "$PASSWORD" | posthouse config put orders/prod db.password --secret',
  ]);
  setAction(command, context, async ({ client, set, args: [key = "", file], options, terminal }) => {
    const bytes = await readInput(terminal, file);
    const secret = command.getOptionValueSource("secret") === "cli" ? options["secret"] === true : undefined;
    const { reason, cas } = options as { reason?: string; cas?: number };
    if (options["dryRun"] === true) return planKey({ client, terminal, set }, key, bytes);
    const { version } =
      cas === undefined
        ? await client.config.putKey(set, key, bytes, givenOnly({ reason, secret }))
        : await releaseChanged(client, set, {
            items: { [key]: await itemOf(key, bytes, secret) },
            cas,
            ...givenOnly({ reason }),
          });
    terminal.out(`${setText(set)}@${version} is released\n`);
  });
}
