/**
 * `posthouse operator-token`: written straight into the store, since whoever can write the data folder can operate it anyway.
 * The token is all that is on standard output.
 */
import type { Command } from "commander";
import { type GivenOptions, readSettings, withExamples, withSettings } from "../options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, { terminal }: VerbContext): void {
  command.option("--revoke-others", "revoke every other operator token: the lost one no longer works");
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
        ? "revoked, they no longer work:\n"
        : "these operator tokens still work; revoke a lost one by `posthouse tokens revoke ID`, or all by --revoke-others:\n",
    );
    for (const { id, name, createdAt } of others) terminal.err(`  ${id}  ${name}, created ${createdAt}\n`);
  });
}
