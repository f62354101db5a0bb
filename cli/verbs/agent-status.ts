/** `posthouse agent status`: the agent of this host, asked over its Unix socket. */
import type { Command } from "commander";
import { askAgent } from "../agent-socket.ts";
import { detailText } from "../detail.ts";
import { EXIT } from "../exit-codes.ts";
import { type GivenOptions, withExamples } from "../options.ts";
import { readSettings, withSettings } from "../setting-options.ts";
import { formatDocument, formatFor, isDocument, withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

/** As much of `GET /v1/agent/status` as people see. */
interface AgentStatus {
  readonly node: string;
  readonly connected: boolean;
  readonly inSync: boolean;
  readonly services: number;
  readonly files: number;
  readonly filesFailed: number;
  readonly identity?: {
    readonly spiffeId: string;
    readonly expiresAt: string;
    readonly controlUrls: readonly string[];
  };
  readonly problems: readonly { readonly code: string; readonly detail: string }[];
}

export function define(command: Command, { terminal, exit }: VerbContext): void {
  withOutput(command);
  withSettings(command, ["data", "agentSocket"]);
  withExamples(command, ["posthouse agent status", "posthouse agent status --data /var/lib/posthouse -o json"]);
  command.action(async (options: GivenOptions) => {
    const { values } = readSettings(options, terminal);
    const status = await askAgent<AgentStatus>(values, "/v1/agent/status");
    if (status.problems.length > 0) exit(EXIT.failed);
    const format = formatFor(options, terminal);
    if (isDocument(format)) return terminal.out(await formatDocument(format, status));
    const { identity, files, filesFailed } = status;
    terminal.out(
      detailText([
        ["agent", status.node],
        ["control plane", status.connected ? (identity?.controlUrls.join(", ") ?? "connected") : "does not answer"],
        ["identity", identity?.spiffeId],
        ["certificate", identity && `until ${identity.expiresAt}`],
        ["services", `${status.services}, ${status.inSync ? "in sync" : "not in sync yet"}`],
        ["files", filesFailed === 0 ? files : `${files}, ${filesFailed} failed`],
        ...status.problems.map(({ code, detail }) => [code, detail] as const),
      ]),
    );
  });
}
