/** `posthouse config proposals show SET PROPOSAL`: its changes against the live version, and its reviews. */
import type { Command } from "commander";
import { own } from "#base";
import type { Items, Proposal } from "#config-server/api";
import { showDifference } from "../config-report.ts";
import { setAction } from "../config-verb.ts";
import { detailText } from "../detail.ts";
import { liveSet } from "../live-set.ts";
import { withExamples } from "../options.ts";
import { proposalState } from "../proposal-state.ts";
import { changedLines } from "../resources/diff-lines.ts";
import { setText } from "../set-name.ts";
import { formatDocument, formatFor, isParsedFormat, withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withOutput(command);
  withExamples(command, ["posthouse config proposals show orders/prod 0123456789abcdef"]);
  setAction(command, context, async ({ client, set, args: [id = ""], options, terminal }) => {
    const proposal = await client.config.proposal(set, id);
    const format = formatFor(options, terminal);
    if (isParsedFormat(format)) return terminal.out(await formatDocument(format, proposal));
    if (format === "name") return terminal.out(`${proposal.id}\n`);
    terminal.out(
      detailText([
        ["proposal", `${setText(set)} ${proposal.id}`],
        ["state", proposalState(proposal)],
        ["author", proposal.author],
        ["created", proposal.createdAt],
        ["reason", proposal.reason],
        ["from version", proposal.baseVersion],
        ["promoted from", proposal.promotedFrom],
        ["release", proposal.version],
        ...proposal.reviews.map(
          ({ reviewer, verdict, comment }) => [verdict, comment === "" ? reviewer : `${reviewer}: ${comment}`] as const,
        ),
      ]),
    );
    // Of a closed proposal, only its own side is known.
    const live = proposal.state === "open" ? (await liveSet(client, set)).items : {};
    for (const difference of differencesOf(proposal, live)) showDifference(terminal, difference);
  });
}

function differencesOf({ changes }: Proposal, live: Items) {
  return Object.entries(changes).map(([key, item]) => {
    const before = own(live, key);
    const kind = item === null ? "removed" : before ? "changed" : "added";
    const isText = item?.format !== "binary" && before?.format !== "binary";
    return { key, kind, ...(isText ? { lines: changedLines(before?.value ?? "", item?.value ?? "") } : {}) } as const;
  });
}
