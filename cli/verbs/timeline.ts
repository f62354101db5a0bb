/** `posthouse timeline`: recent changes, the newest first, such as those before an incident. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Command, InvalidArgumentError } from "commander";
import { own } from "#base";
import type { Change, ChangeQueryParameters } from "#timeline/api";
import { defineListing } from "../listing.ts";
import { countOption, withExamples } from "../options.ts";
import type { VerbContext } from "../verb.ts";

/** Changes of a list when the caller does not say: a screen or two. */
const LISTED = 50;
const MS_OF: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const AGO = /^(\d{1,6})([smhd])$/;
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

/** Parses a time: RFC 3339, or how long ago, such as 10m. */
function timeOption(text: string): string {
  const [, count, unit] = AGO.exec(text) ?? [];
  const at = unit === undefined ? Date.parse(text) : Date.now() - Number(count) * (own(MS_OF, unit) ?? 0);
  const isTime = unit !== undefined || RFC_3339.test(text);
  if (isTime && at >= 0) return new Date(at).toISOString();
  throw new InvalidArgumentError("It must be a time such as 2026-12-30T16:05:00Z, or how long ago, such as 10m or 2h.");
}

/** Milliseconds between two reads of a watch. The list is shown again only if it has changed. */
const READ_MS = 1_000;

async function* eachInterval(signal: AbortSignal): AsyncGenerator<void> {
  while (!signal.aborted) {
    yield;
    await sleep(READ_MS, undefined, { signal }).catch(() => {});
  }
}

export function define(command: Command, context: VerbContext): void {
  command
    .option("--since <time>", "only changes at this time or later: RFC 3339, or how long ago, such as 10m", timeOption)
    .option("--before <time>", "only changes before this time, such as that of an incident", timeOption)
    .option("--service <name>", "only instances of this service, and config of the app with this name")
    .option("--kind <kinds...>", "only these kinds, such as instance-health or config-released")
    .option("--limit <count>", "the most changes", countOption, LISTED);
  withExamples(command, [
    "posthouse timeline --since 10m",
    "posthouse timeline --since 10m --kind instance-health config-released --watch",
    "posthouse timeline --before 2026-12-30T16:05:00Z --service orders",
  ]);
  defineListing<Change, ChangeQueryParameters>(command, context, {
    columns: [
      ["TIME", ({ at }) => at],
      ["KIND", ({ kind }) => kind],
      ["CHANGE", ({ text }) => text],
    ],
    given: (_args, options) => ({
      since: options["since"] as string | undefined,
      until: options["before"] as string | undefined,
      service: options["service"] as string | undefined,
      kind: options["kind"] as readonly string[] | undefined,
      limit: options["limit"] as number,
    }),
    changes: (_client, _query, signal) => eachInterval(signal),
    rows: async (client, query) => (await client.timeline.changes(query)).changes,
    empty: "no change in this time that you may read; changes are kept for a week",
  });
}
