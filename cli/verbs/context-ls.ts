/** `posthouse context ls`: the contexts of this user, without their tokens. */
import type { Command } from "commander";
import { type ContextEntry, readContexts } from "../contexts.ts";
import { withExamples } from "../options.ts";
import { type Column, formatFor, formatRows, isDocument, paintFor, withOutput } from "../table.ts";
import type { VerbContext } from "../verb.ts";

interface Row {
  readonly name: string;
  readonly current: boolean;
  readonly controlUrls: readonly string[];
  readonly token: string;
  readonly namespace?: string | undefined;
}

const COLUMNS: readonly Column<Row>[] = [
  ["CONTEXT", ({ name }) => name],
  ["CURRENT", ({ current }) => (current ? "*" : undefined)],
  ["CONTROL URLS", ({ controlUrls }) => controlUrls.join(",")],
  ["TOKEN", ({ token }) => token],
  ["NAMESPACE", ({ namespace }) => namespace],
];

export function define(command: Command, { terminal }: VerbContext): void {
  withOutput(command);
  withExamples(command, ["posthouse context ls"]);
  command.action(async (options: Record<string, unknown>) => {
    const { current, contexts } = await readContexts(terminal);
    const rows = Object.entries(contexts).map(([name, entry]): Row => ({
      name,
      current: name === current,
      controlUrls: entry.controlUrls ?? [],
      token: tokenText(entry),
      namespace: entry.namespace,
    }));
    if (rows.length === 0)
      terminal.err("no context is stored; add one with: posthouse context set NAME --control-urls URL\n");
    const format = formatFor(options, terminal);
    if (rows.length > 0 || isDocument(format))
      terminal.out(await formatRows(format, COLUMNS, rows, paintFor(terminal)));
  });
}

function tokenText({ token, tokenFile }: ContextEntry): string {
  return tokenFile !== undefined ? `file ${tokenFile}` : token === undefined ? "none" : "stored";
}
