/** `posthouse config history SET`. */
import type { Command } from "commander";
import type { ReleaseSummary, SetName } from "#config-server/api";
import { defineListing } from "../listing.ts";
import { shortCommit } from "../config-report.ts";
import { countOption } from "../options.ts";
import { parseSetName, withNamespaceOfSet } from "../set-name.ts";
import type { VerbContext } from "../verb.ts";

export function define(command: Command, context: VerbContext): void {
  withNamespaceOfSet(command).option("--limit <count>", "maximum number of releases", countOption, 20);
  defineListing<ReleaseSummary, { set: SetName; limit: number }>(command, context, {
    columns: [
      ["VERSION", ({ version }) => version],
      ["CREATED", ({ createdAt }) => createdAt],
      ["AUTHOR", ({ author }) => author],
      ["REASON", ({ reason }) => reason],
      ["SOURCE", ({ source }) => source && `${source.name}@${shortCommit(source.commit)}`],
    ],
    given: ([set = ""], { namespace, limit }, home) => ({
      set: parseSetName(set, namespace as string | undefined, home),
      limit: limit as number,
    }),
    rows: async (client, { set, limit }) => (await client.config.releases(set, { limit })).releases,
    empty: "this set has no release",
  });
}
