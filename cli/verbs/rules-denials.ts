/** `posthouse rules denials`: the latest connections to services of this host that a rule denied, as its agent saw them. */
import type { Command } from "commander";
import { askAgent } from "../agent-socket.ts";
import { type GivenOptions, withExamples } from "../options.ts";
import { readSettings, withSettings } from "../setting-options.ts";
import { formatFor, formatRows, isDocument, paintFor, type Column, withOutput } from "../table.ts";
import { clockText } from "../time-text.ts";
import type { VerbContext } from "../verb.ts";

/** As much of `GET /v1/agent/sidecar` as people see here. */
interface SidecarDenials {
  readonly denials: readonly {
    readonly at: string;
    readonly caller: string;
    readonly namespace: string;
    readonly service: string;
    readonly reportOnly: boolean;
    readonly why: string;
  }[];
}

export function define(command: Command, { terminal }: VerbContext): void {
  withOutput(command);
  withSettings(command, ["data", "agentSocket"]);
  withExamples(command, ["posthouse rules denials", "posthouse rules denials --data /var/lib/posthouse -o json"]);
  command.action(async (options: GivenOptions) => {
    const { values } = readSettings(options, terminal);
    const { denials } = await askAgent<SidecarDenials>(values, "/v1/agent/sidecar");
    const format = formatFor(options, terminal);
    if (denials.length === 0) {
      terminal.err("no connection was denied since the agent of this host started\n");
      if (!isDocument(format)) return;
    }
    const columns = [
      // The time of day: the agent keeps the latest denials only.
      ["AT", ({ at }) => clockText(at)],
      ["CALLER", ({ caller }) => caller],
      ["SERVICE", ({ namespace, service }) => `${namespace}/${service}`],
      ["DENIED", ({ reportOnly }) => (reportOnly ? "reported" : "yes")],
      ["WHY", ({ why }) => why],
    ] satisfies readonly Column<SidecarDenials["denials"][number]>[];
    terminal.out(await formatRows(format, columns, denials, paintFor(terminal)));
  });
}
