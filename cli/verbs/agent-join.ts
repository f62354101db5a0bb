/** `posthouse agent join`: exchanges a join token for this host's identity, and says how to start the agent. */
import type { Command } from "commander";
import { detailText } from "../detail.ts";
import { type GivenOptions, withExamples } from "../options.ts";
import { readSettings, withSettings } from "../setting-options.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, { terminal }: VerbContext): void {
  command
    .requiredOption("--join-token <token>", "token of `posthouse join-token create`, for one join")
    .option(
      "--name <name>",
      "name of this host (default: that of the token, the setting agentName, or the host's name)",
    )
    .option("--replace", "replace an identity that is still valid");
  withSettings(command, ["data", "agentName", "logLevel", "logFormat"]);
  withExamples(command, [
    "posthouse agent join https://10.0.0.5:8500 --join-token phj_ID_SECRET_FINGERPRINT",
    "posthouse agent join https://a:8500 https://b:8500 --join-token phj_ID_SECRET_FINGERPRINT --name web-1 --data /var/lib/posthouse",
  ]);
  command.action(async (urls: string[], { joinToken, name, replace, ...options }: GivenOptions) => {
    const { values } = readSettings(options, terminal);
    const { systemHost } = await import("#base/system");
    const { joinHost } = await import("#server");
    const joined = await joinHost(systemHost(values), values, {
      urls: urls.map((url) => url.replace(/\/$/, "")),
      token: String(joinToken),
      name: name as string | undefined,
      replace: replace === true,
    });
    terminal.out(
      detailText([
        ["joined", joined.spiffeId],
        ["certificate", `until ${joined.expiresAt}; the ${roleOf(joined.spiffeId)} renews it`],
        ["identity", joined.folder],
        [
          "next",
          `posthouse up --roles ${roleOf(joined.spiffeId)}${values.data === "./data" ? "" : ` --data ${values.data}`}`,
        ],
      ]),
    );
  });
}

/** The kind of a node is the role that it is for. */
function roleOf(spiffeId: string): string {
  return spiffeId.includes("/gateway/") ? "gateway" : "agent";
}
