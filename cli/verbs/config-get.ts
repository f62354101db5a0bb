/** `posthouse config get SET [KEY]`: the effective config. A single value is printed unchanged. */
import type { Command } from "commander";
import { own } from "#base";
import { ConfigErrors } from "#config-server/api";
import { setAction } from "../config-verb.ts";
import { withExamples } from "../options.ts";
import { setText } from "../set-name.ts";
import { formatFor, formatRows, paintFor, withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  const { terminal } = context;
  withOutput(command);
  withExamples(command, ["posthouse config get orders", "posthouse config get orders/prod app.yaml"]);
  setAction(command, context, async ({ client, set, args: [key], options }) => {
    const { items } = await client.config.effective(set);
    if (key !== undefined) {
      const item = own(items, key);
      if (!item) throw ConfigErrors.KEY_NOT_FOUND(`No release for "${setText(set)}" has the key "${key}".`);
      return terminal.out(item.value);
    }
    const rows = Object.entries(items)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, { format, secret = false, origin }]) => ({ key, format, secret, origin }));
    const columns = [
      ["KEY", ({ key }: (typeof rows)[number]) => key],
      ["FORMAT", ({ format }: (typeof rows)[number]) => format],
      ["FROM", ({ origin }: (typeof rows)[number]) => `${origin.profile}@${origin.version}`],
      ["SECRET", ({ secret }: (typeof rows)[number]) => (secret ? "yes" : undefined)],
    ] as const;
    terminal.out(await formatRows(formatFor(options, terminal), columns, rows, paintFor(terminal)));
  });
}
