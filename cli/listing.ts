/** A verb that lists objects of the control plane, as a table or for programs: once, or at every change. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { Trigger } from "#base";
import type { ControlCalls } from "#client/light";
import { controlAction } from "./control-verb.ts";
import type { GivenOptions } from "./options.ts";
import { type Column, formatFor, formatRows, isDocument, paintFor, withOutput } from "./table.ts";
import { exitOfStop } from "./terminal.ts";
import type { VerbContext } from "./verb.ts";

export interface Listing<Row, Given> {
  readonly columns: readonly Column<Row>[];
  readonly rows: (client: ControlCalls, given: Given) => Promise<readonly Row[]>;
  /** Written to standard error for an empty list: how to get a first row. */
  readonly empty: string;
  /** Yields whenever the rows may have changed. Absent: the verb has no `--watch`. */
  readonly changes?: (client: ControlCalls, given: Given, signal: AbortSignal) => AsyncIterable<unknown>;
  /** Runs before the rows are read, such as a wait. */
  readonly before?: (client: ControlCalls, given: Given) => Promise<void>;
}

/** Milliseconds over which changes are gathered. */
const GATHER_MS = 100;
/** Clears a terminal and moves to its top. */
const CLEAR = "\u001B[2J\u001B[H";

/** Adds the options of a listing and its action; `given` turns the arguments and options into its query. */
export function defineListing<Row, Given>(
  command: Command,
  context: VerbContext,
  listing: Listing<Row, Given> & {
    readonly given: (args: readonly (string | undefined)[], options: GivenOptions, home: string) => Given;
  },
): void {
  const { terminal, exit } = context;
  withOutput(command);
  if (listing.changes) command.option("-w, --watch", "show the list again whenever it changes");
  const run = async (client: ControlCalls, options: GivenOptions, given: Given) => {
    const format = formatFor(options, terminal);
    const paint = paintFor(terminal);
    const show = async (isWatch: boolean) => {
      const rows = await listing.rows(client, given);
      if (rows.length === 0 && !isWatch) terminal.err(`${listing.empty}\n`);
      if (rows.length === 0 && !isWatch && !isDocument(format)) return "";
      // One document per line, so that a program reads a watch line by line.
      if (isWatch && (format === "json" || format === "ndjson")) return `${JSON.stringify(rows)}\n`;
      return formatRows(format, listing.columns, rows, paint);
    };
    await listing.before?.(client, given);
    if (options["watch"] !== true || !listing.changes) return terminal.out(await show(false));
    const signal = terminal.stopSignal();
    let last: string | undefined;
    for await (const _change of gathered(listing.changes(client, given, signal), signal)) {
      const text = await show(true);
      if (text === last) continue;
      const isLines = format === "json" || format === "ndjson";
      terminal.out((terminal.isInteractive ? CLEAR : last === undefined || isLines ? "" : "\n") + text);
      last = text;
    }
    exit(exitOfStop(signal));
  };
  controlAction<Given>(
    command,
    context,
    ({ client, options }, given) => run(client, options, given),
    (args, options, home) => listing.given(args, options, home),
  );
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
