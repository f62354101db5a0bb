/**
 * Java's properties, read like `java.util.Properties.load`: natural lines become logical lines, each logical line becomes a key and a
 * value, and then escapes are resolved. A leading byte order mark is dropped.
 * @see https://docs.oracle.com/en/java/javase/21/docs/api/java.base/java/util/Properties.html (load)
 */
import { own } from "../own.ts";
import type { ValueReader } from "./reader.ts";

export const properties: ValueReader = { read: readProperties };

/** A part of the text that belongs to a key or a value, with its escapes. A continued line has several. */
export interface PropertyPiece {
  readonly start: number;
  readonly end: number;
}

/** One logical line: a key and a value. */
export interface Property {
  /** With escapes. */
  readonly key: string;
  readonly value: string;
  /** The places of its text, without the backslash that continues a line and the blanks at the start of the next one. */
  readonly pieces: readonly PropertyPiece[];
  /** Characters of the key, counted over all pieces. */
  readonly keyLength: number;
}

/** Line of a text, from 1, and why it cannot be read. */
export interface PropertyProblem {
  readonly message: string;
  readonly line: number;
  readonly column: number;
}

const BOM = "\uFEFF";
/** A placeholder is one unit: colons inside it do not end a key. */
const KEY = /^(?:\$\$?\{[^}\n]*\}|[^\\=: \t\f]|\\.)*/s;
const SEPARATOR = /^[ \t\f]*[=:]?[ \t\f]*/;

/** One flat object of texts. For a duplicate key, the last value wins. */
export function readProperties(text: string): Record<string, string> {
  return Object.fromEntries(logicalLines(text).map(({ key, value }) => [unescape(key), unescape(value)]));
}

/** Without comments and blank lines. A line that ends in an odd number of backslashes continues in the next one. */
export function logicalLines(text: string): Property[] {
  const lines: Property[] = [];
  let begun: PropertyPiece[] | undefined;
  const end = (pieces: readonly PropertyPiece[]) => {
    const line = pieces.map(({ start, end }) => text.slice(start, end)).join("");
    if (line !== "") lines.push(propertyOf(line, pieces));
  };
  let at = text.startsWith(BOM) ? 1 : 0;
  for (const natural of text.slice(at).split(/(?<=\r\n|\n|\r(?!\n))/)) {
    const line = natural.replace(/[\r\n]+$/, "");
    const start = at + (/^[ \t\f]*/.exec(line)?.[0].length ?? 0);
    const stop = at + line.length;
    at += natural.length;
    const content = text.slice(start, stop);
    if (!begun && (content === "" || content.startsWith("#") || content.startsWith("!"))) continue;
    const goesOn = (/\\*$/.exec(content)?.[0].length ?? 0) % 2 === 1;
    const pieces: PropertyPiece[] = [...(begun ?? []), { start, end: goesOn ? stop - 1 : stop }];
    begun = goesOn ? pieces : undefined;
    if (!goesOn) end(pieces);
  }
  if (begun) end(begun);
  return lines;
}

function propertyOf(line: string, pieces: readonly PropertyPiece[]): Property {
  const key = KEY.exec(line)?.[0] ?? "";
  const rest = line.slice(key.length);
  return { key, value: rest.slice(SEPARATOR.exec(rest)?.[0].length ?? 0), pieces, keyLength: key.length };
}

const ESCAPE = /\\(?:u([0-9a-fA-F]{4})?|(.)|$)/gs;
const ESCAPES: Readonly<Record<string, string>> = { t: "\t", n: "\n", r: "\r", f: "\f" };

function unescape(text: string): string {
  return text.replaceAll(ESCAPE, (_all, hex: string | undefined, char: string | undefined) =>
    hex === undefined ? (own(ESCAPES, char ?? "") ?? char ?? "") : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** The first problem of a text. */
export function propertyProblem(text: string): PropertyProblem | undefined {
  for (const { key, pieces } of logicalLines(text)) {
    if (key === "") return { message: "a line has no key", ...placeOf(text, pieces[0]?.start ?? 0) };
    for (const { start, end } of pieces) {
      for (const found of text.slice(start, end).matchAll(ESCAPE)) {
        if (!found[0].startsWith("\\u") || found[1] !== undefined) continue;
        return { message: "\\u must be followed by four hex digits", ...placeOf(text, start + found.index) };
      }
    }
  }
  return undefined;
}

function placeOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split(/\r\n|\n|\r/);
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}

/** Escapes a text as part of a value or a key, so that it is read back unchanged. */
export function escapeProperty(text: string, place: "key" | "value"): string {
  const escaped = text
    .replaceAll("\\", "\\\\")
    .replaceAll("\n", "\\n")
    .replaceAll("\r", "\\r")
    .replaceAll("\t", "\\t")
    .replaceAll("\f", "\\f");
  // A leading blank of a value would be dropped. A comment sign matters at the start of a line only.
  return place === "value"
    ? escaped.replace(/^ +/, (blanks) => "\\ ".repeat(blanks.length))
    : escaped.replaceAll(/[ =:#!]/g, "\\$&");
}
