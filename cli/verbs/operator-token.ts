/**
 * `posthouse operator-token`: writes the token directly into the store. A user who can write the data folder has full control anyway.
 * Standard output has only the token.
 */
import type { Command } from "commander";
import { type GivenOptions, withExamples } from "../options.ts";
import { readSettings, withSettings } from "../setting-options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, { terminal }: VerbContext): void {
  command.option("--revoke-others", "revoke every other operator token, so that the lost one no longer works");
  withSettings(command);
  withExamples(command, [
    "posthouse operator-token --revoke-others",
    "posthouse operator-token --data /var/lib/posthouse",
  ]);
  command.action(async ({ revokeOthers, ...options }: GivenOptions) => {
    const { values } = readSettings(options, terminal);
    const { systemHost } = await import("#base/system");
    const { issueOfflineToken } = await import("#server");
    const isRevoking = revokeOthers === true;
    const { token, others } = await issueOfflineToken(systemHost(values), values, { revokeOthers: isRevoking });
    terminal.out(`${token}\n`);
    if (others.length === 0) return;
    terminal.err(
      isRevoking
        ? "revoked operator tokens, which no longer work:\n"
        : "these operator tokens still work; revoke a lost one with `posthouse token revoke ID`, or all of them with --revoke-others:\n",
    );
    for (const { id, name, createdAt } of others) terminal.err(`  ${id}  ${name}, created ${createdAt}\n`);
  });
}
