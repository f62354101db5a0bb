/** `posthouse config promote SET --to NAMESPACE`: takes a release to another environment. */
import type { Command } from "commander";
import { REASON } from "../config-verb.ts";
import { showDifference } from "../config-report.ts";
import { controlAction } from "../control-verb.ts";
import { countOption, givenOnly, withExamples } from "../options.ts";
import { parseSetName, setText } from "../set-name.ts";
import type { SetName } from "#config-server/api";
import type { VerbContext } from "../verb.ts";

interface PromoteOptions {
  readonly to: string;
  readonly at?: number;
  readonly keys?: string[];
  readonly reason?: string;
  readonly dryRun?: boolean;
}

export function define(command: Command, context: VerbContext): void {
  command
    .option(
      "--from <namespace>",
      "namespace of a set that is given without one (default: that of the context, else default)",
    )
    .requiredOption("--to <namespace>", "namespace that receives the release")
    .option("--at <version>", "this version instead of the live one", countOption)
    .option("--keys <keys...>", "only these keys; absent: the whole set")
    .option("--dry-run", "only show the differences")
    .option(...REASON);
  withExamples(command, [
    "posthouse config promote orders/main --from dev --to prod --dry-run",
    "posthouse config promote dev/orders/main --to prod --reason 'tested for a week'",
  ]);
  controlAction<SetName>(
    command,
    context,
    async ({ client, options, terminal }, set) => {
      const { to, at: version, keys, reason, dryRun } = options as unknown as PromoteOptions;
      if (dryRun) {
        // The state of the other environment is the one that changes.
        const target = { ...set, namespace: to };
        const { differences } = await client.config.diff(target, {
          from: "live",
          to: String(version ?? "live"),
          toNamespace: set.namespace,
        });
        const shown = differences.filter(({ key }) => keys === undefined || keys.includes(key));
        for (const difference of shown) showDifference(terminal, difference);
        return terminal.err(`${setText(target)}: ${shown.length} differences; nothing is released\n`);
      }
      const done = await client.config.promote(set, { toNamespace: to, ...givenOnly({ version, keys, reason }) });
      const name = setText({ ...set, namespace: to });
      terminal.out(
        "id" in done ? `${name}: proposal ${done.id} awaits a review\n` : `${name}@${done.version} is released\n`,
      );
    },
    ([text = ""], { from }, home) => parseSetName(text, from as string | undefined, home),
  );
}
