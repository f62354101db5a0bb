/** A verb that lists objects of the control plane, as a table, JSON or YAML: once, or at every change. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { Trigger } from "#base";
import type { Client } from "#client";
import { withControlClient } from "./control-client.ts";
import { CONTROL_SETTINGS, type GivenOptions, readSettings, withSettings } from "./options.ts";
import { type Column, formatRows, type OutputFormat, withOutput } from "./table.ts";
import type { VerbContext } from "./verb.ts";

export interface Listing<Row, Given> {
  readonly columns: readonly Column<Row>[];
  readonly rows: (client: Client, given: Given) => Promise<readonly Row[]>;
  /** Written to standard error for an empty list: how to get a first row. */
  readonly empty: string;
  /** Yields whenever the rows may have changed. Absent: the verb has no `--watch`. */
  readonly changes?: (client: Client, given: Given, signal: AbortSignal) => AsyncIterable<unknown>;
}

/** Milliseconds over which changes are gathered. */
const GATHER_MS = 100;
/** Clears a terminal and moves to its top. */
const CLEAR = "\u001B[2J\u001B[H";

/** Adds the options of a listing and its action; `given` turns the arguments and options into its query. */
export function defineListing<Row, Given>(
  command: Command,
  { terminal }: VerbContext,
  listing: Listing<Row, Given> & {
    readonly given: (args: readonly (string | undefined)[], options: GivenOptions) => Given;
  },
): void {
  withOutput(command);
  if (listing.changes) command.option("-w, --watch", "show the list again whenever it changes");
  withSettings(command, CONTROL_SETTINGS);
  command.action(async (...all: unknown[]) => {
    const options = command.opts<GivenOptions>();
    const args = all.slice(0, command.registeredArguments.length) as (string | undefined)[];
    const given = listing.given(args, options);
    const format = options["output"] as OutputFormat;
    const show = async (client: Client, isWatch: boolean) => {
      const rows = await listing.rows(client, given);
      if (rows.length === 0 && !isWatch) terminal.err(`${listing.empty}\n`);
      if (rows.length > 0 || isWatch || format === "json" || format === "yaml") {
        // One document per line, so that a program reads a watch line by line.
        return isWatch && format === "json" ? `${JSON.stringify(rows)}\n` : formatRows(format, listing.columns, rows);
      }
      return "";
    };
    await withControlClient(readSettings(options, terminal), async (client) => {
      if (options["watch"] !== true || !listing.changes) return terminal.out(await show(client, false));
      const signal = terminal.stopSignal();
      let last: string | undefined;
      for await (const _change of gathered(listing.changes(client, given, signal), signal)) {
        const text = await show(client, true);
        if (text === last) continue;
        const before = terminal.isInteractive ? CLEAR : last === undefined || format === "json" ? "" : "\n";
        terminal.out(before + text);
        last = text;
      }
    });
  });
}

/** Yields at once for the first change, and then once for all changes within GATHER_MS. */
async function* gathered(changes: AsyncIterable<unknown>, signal: AbortSignal): AsyncGenerator<void> {
  const news = new Trigger();
  news.fire();
  let failure: { readonly error: unknown } | undefined;
  const reading = (async () => {
    for await (const _change of changes) news.fire();
  })().catch((error: unknown) => {
    if (!signal.aborted) failure = { error };
    news.fire();
  });
  for (;;) {
    await news.wait(signal);
    if (signal.aborted) break;
    if (failure) throw failure.error;
    yield;
    await sleep(GATHER_MS);
  }
  await reading;
}
