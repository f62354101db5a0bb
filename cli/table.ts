/** Rows for people, as aligned columns under headers; and for programs, as JSON, YAML or tab-separated text. */
import { type Command, Option } from "commander";

const OUTPUT_FORMATS = ["table", "json", "yaml", "tsv"] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** A header and its cells. An empty cell is shown as `-`. */
export type Column<Row> = readonly [header: string, cell: (row: Row) => string | number | undefined];

export function withOutput(command: Command): Command {
  const output = new Option("-o, --output <format>", "output format; tsv is tab-separated, without headers");
  return command.addOption(output.choices(OUTPUT_FORMATS).default("table"));
}

/** Between two columns. */
const GAP = "   ";

export function tableText<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const lines = [columns.map(([header]) => header), ...rows.map((row) => cellsOf(columns, row))];
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => widthOf(line[at] ?? ""))));
  return lines
    .map((line) => line.map((cell, at) => cell + " ".repeat((widths[at] ?? 0) - widthOf(cell))).join(GAP))
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}

function tsvText<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  return rows.map((row) => `${cellsOf(columns, row).join("\t")}\n`).join("");
}

/** A whole document for programs. The YAML package is loaded only when needed. */
export async function formatDocument(format: "json" | "yaml", document: unknown): Promise<string> {
  return format === "json" ? `${JSON.stringify(document, null, 2)}\n` : (await import("yaml")).stringify(document);
}

/** Rows in one of the formats. */
export async function formatRows<Row>(
  format: OutputFormat,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
): Promise<string> {
  if (format === "json" || format === "yaml") return formatDocument(format, rows);
  return format === "tsv" ? tsvText(columns, rows) : tableText(columns, rows);
}

function cellsOf<Row>(columns: readonly Column<Row>[], row: Row): string[] {
  return columns.map(([, cell]) => {
    const value = cell(row);
    return value === undefined || value === "" ? "-" : oneLine(String(value));
  });
}

/** Text of other users must neither break a row nor move the cursor. */
function oneLine(text: string): string {
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
