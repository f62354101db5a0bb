/** Rows for people, as aligned columns under headers; and for programs, as tab-separated text, JSON, YAML or names. */
import { type Command, Option } from "commander";
import { hasColor, type Terminal } from "./terminal.ts";

const OUTPUT_FORMATS = ["table", "json", "yaml", "name", "ndjson", "tsv"] as const;
/** `text`: tab-separated under headers, when standard output is not a terminal and no format is given. */
export type OutputFormat = (typeof OUTPUT_FORMATS)[number] | "text";

/** A header and its cells. An empty cell is shown as `-`. */
export type Column<Row> = readonly [header: string, cell: (row: Row) => string | number | undefined];

export function withOutput(command: Command): Command {
  const output = new Option(
    "-o, --output <format>",
    "output format (default: a table on a terminal, else tab-separated with headers); tsv has no headers, name only the first column",
  );
  return command.addOption(output.choices(OUTPUT_FORMATS));
}

/** The format that was asked for, or the one that fits standard output. */
export function formatFor({ output }: Readonly<Record<string, unknown>>, { isInteractive }: Terminal): OutputFormat {
  return (output as OutputFormat | undefined) ?? (isInteractive ? "table" : "text");
}

/** Whether the format is a document that programs parse, which is written even when it is empty. */
export function isDocument(format: OutputFormat): format is "json" | "yaml" {
  return format === "json" || format === "yaml";
}

/** Whether the format is one that programs parse, for a single object: a document, or a line. */
export function isParsedFormat(format: OutputFormat): format is "json" | "yaml" | "ndjson" {
  return isDocument(format) || format === "ndjson";
}

/** Between two columns. */
const GAP = "   ";
const SGR = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
type Style = keyof typeof SGR;
export type Paint = (style: Style, text: string) => string;

export function paintFor(terminal: Terminal): Paint {
  if (!hasColor(terminal)) return (_style, text) => text;
  return (style, text) => `\u001B[${SGR[style]}m${text}\u001B[0m`;
}

/** Words that are a state, by how good the state is. Each is shown as its word, too, so color only repeats it. */
const STYLE_OF_WORD: ReadonlyMap<string, Style> = new Map([
  ...["passing", "ok", "live", "applied", "ready", "completed", "serving"].map((word) => [word, "green"] as const),
  ...["warning", "warn", "draining", "starting", "paused", "running", "silent"].map(
    (word) => [word, "yellow"] as const,
  ),
  ...["critical", "fail", "failed", "stopped", "rolledBack", "unreachable"].map((word) => [word, "red"] as const),
  ...["unknown", "skip", "-"].map((word) => [word, "dim"] as const),
]);

const plain: Paint = (_style, text) => text;

export function tableText<Row>(columns: readonly Column<Row>[], rows: readonly Row[], paint: Paint = plain): string {
  const lines = [columns.map(([header]) => header), ...rows.map((row) => cellsOf(columns, row))];
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => widthOf(line[at] ?? ""))));
  return lines
    .map((line, index) =>
      line
        .map((cell, at) => {
          const padding = at === columns.length - 1 ? "" : " ".repeat((widths[at] ?? 0) - widthOf(cell));
          const style = index === 0 ? "bold" : STYLE_OF_WORD.get(cell);
          return (style === undefined ? cell : paint(style, cell)) + padding;
        })
        .join(GAP),
    )
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}

function tsvText<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  return rows.map((row) => `${cellsOf(columns, row).join("\t")}\n`).join("");
}

/** A whole document for programs. The YAML package is loaded only when needed. */
export async function formatDocument(format: "json" | "yaml" | "ndjson", document: unknown): Promise<string> {
  if (format === "ndjson") return `${JSON.stringify(document)}\n`;
  return format === "json" ? `${JSON.stringify(document, null, 2)}\n` : (await import("yaml")).stringify(document);
}

/** Rows in one of the formats. */
export async function formatRows<Row>(
  format: OutputFormat,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  paint: Paint = plain,
): Promise<string> {
  if (isDocument(format)) return formatDocument(format, rows);
  if (format === "ndjson") return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  if (format === "name") return tsvText(columns.slice(0, 1), rows);
  if (format === "tsv") return tsvText(columns, rows);
  if (format === "text") return `${columns.map(([header]) => header).join("\t")}\n${tsvText(columns, rows)}`;
  return tableText(columns, rows, paint);
}

function cellsOf<Row>(columns: readonly Column<Row>[], row: Row): string[] {
  return columns.map(([, cell]) => {
    const value = cell(row);
    return value === undefined || value === "" ? "-" : oneLine(String(value));
  });
}

/** Text of other users must neither break a row nor move the cursor. */
export function oneLine(text: string): string {
  return text.replaceAll(/[\s\p{Cc}\p{Zl}\p{Zp}]+/gu, " ").trim();
}

/** Columns that a text takes on a terminal: Chinese characters and the like take two, combining marks none. */
export function widthOf(text: string): number {
  let width = 0;
  for (const sign of text) {
    if (/^[\p{Mn}\p{Me}\p{Cf}]$/u.test(sign)) continue;
    width +=
      /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\u3000-\u303F\uFF01-\uFF60]$/u.test(
        sign,
      )
        ? 2
        : 1;
  }
  return width;
}
