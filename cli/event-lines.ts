/** Events of a watch as lines: aligned on a terminal, tab-separated elsewhere, or one JSON document per line. */
import { type Command, Option } from "commander";
import type { GivenOptions } from "./options.ts";
import { oneLine, paintFor, widthOf, type Column } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export function withEventOutput(command: Command): Command {
  return command.addOption(
    new Option("-o, --output <format>", "ndjson: one JSON document per line").choices(["ndjson", "json"]),
  );
}

/** A column with the width that it usually needs, since later lines are not known. */
export type EventColumn<Event> = readonly [...Column<Event>, width: number];

/** @returns the writer of one event; the first event also writes the headers */
export function eventWriter<Event>(
  terminal: Terminal,
  options: GivenOptions,
  columns: readonly EventColumn<Event>[],
): (event: Event) => void {
  if (options["output"] !== undefined) return (event) => terminal.out(`${JSON.stringify(event)}\n`);
  const paint = paintFor(terminal);
  const line = (cells: readonly string[]) =>
    terminal.isInteractive
      ? cells.map((cell, at) => cell + " ".repeat(Math.max(0, (columns[at]?.[2] ?? 0) - widthOf(cell)))).join("  ")
      : cells.join("\t");
  let isFirst = true;
  return (event) => {
    if (isFirst) terminal.out(`${paint("bold", line(columns.map(([header]) => header)).trimEnd())}\n`);
    isFirst = false;
    const cells = columns.map(([, cell]) => oneLine(String(cell(event) ?? "")) || "-");
    terminal.out(`${line(cells).trimEnd()}\n`);
  };
}
