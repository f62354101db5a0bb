/** `posthouse agent run`: runs the agent alone, as `posthouse up --roles agent` does. */
import type { Command } from "commander";
import { flagOf } from "#settings";
import { type GivenOptions, withExamples } from "../options.ts";
import { readSettings, withSettings } from "../setting-options.ts";
import type { VerbContext } from "../verb.ts";
import { failedStart } from "./up.ts";

export function define(command: Command, { terminal, exit }: VerbContext): void {
  withSettings(command);
  withExamples(command, ["posthouse agent run", "posthouse agent run --data /var/lib/posthouse"]);
  command.addHelpText(
    "after",
    `\nA host that joined needs no other setting. Otherwise set ${flagOf("controlUrls")} and ${flagOf("token")}.`,
  );
  command.action(async (options: GivenOptions) => {
    const settings = readSettings({ ...options, roles: ["agent"] }, terminal);
    const { serve } = await import("../serve.ts");
    exit(await serve(settings, { demo: false }).catch(failedStart));
    setImmediate(() => process.exit());
  });
}
