/** `posthouse tokens revoke ID`. */
import type { Command } from "commander";
import { withControlClient } from "../control-client.ts";
import { CONTROL_SETTINGS, type GivenOptions, readSettings, withExamples, withSettings } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, { terminal }: VerbContext): void {
  withSettings(command, CONTROL_SETTINGS);
  withExamples(command, ["posthouse tokens revoke 0123456789abcdef"]);
  command.action(async (id: string, options: GivenOptions) => {
    await withControlClient(readSettings(options, terminal), (client) => client.access.revokeToken(id));
    terminal.out(`token ${id} is revoked\n`);
  });
}
