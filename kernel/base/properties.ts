/**
 * Java's properties, read as `java.util.Properties.load` reads them: natural lines become logical lines first, then each
 * logical line is a key and a value, and only then are escapes read. A byte order mark in front is dropped.
 * @see https://docs.oracle.com/en/java/javase/21/docs/api/java.base/java/util/Properties.html (load)
 */
import { own } from "./own.ts";

/** A stretch of the text that belongs to a key or a value, with its escapes. A continued line gives several. */
export interface PropertyPiece {
  readonly start: number;
  readonly end: number;
}

/** One logical line: a key and a value. */
export interface Property {
  /** With escapes. */
  readonly key: string;
  readonly value: string;
  /** Where its text is, without the backslash that continues a line and the blanks that begin the next one. */
  readonly pieces: readonly PropertyPiece[];
  /** Characters of all pieces in a row that the key has. */
  readonly keyLength: number;
}

/** Line of a text, from 1, and why it does not read. */
export interface PropertyProblem {
  readonly message: string;
  readonly line: number;
  readonly column: number;
}

const BOM = "\uFEFF";
/** A placeholder is one thing, whatever it holds: its colons do not end a key. */
const KEY = /^(?:\$\$?\{[^}\n]*\}|[^\\=: \t\f]|\\.)*/s;
const SEPARATOR = /^[ \t\f]*[=:]?[ \t\f]*/;

/** One flat object of texts; of a key that comes twice the last value holds. */
export function readProperties(text: string): Record<string, string> {
  return Object.fromEntries(logicalLines(text).map(({ key, value }) => [unescape(key), unescape(value)]));
}

/** Without comments and blank lines; a line that ends in an odd number of backslashes goes on in the next one. */
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

/** The first thing in a text that does not read. */
export function propertyProblem(text: string): PropertyProblem | undefined {
  for (const { key, pieces } of logicalLines(text)) {
    if (key === "") return { message: "a line begins without a key", ...placeOf(text, pieces[0]?.start ?? 0) };
    for (const { start, end } of pieces) {
      for (const found of text.slice(start, end).matchAll(ESCAPE)) {
        if (!found[0].startsWith("\\u") || found[1] !== undefined) continue;
        return { message: "\\u needs four hex digits after it", ...placeOf(text, start + found.index) };
      }
    }
  }
  return undefined;
}

function placeOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split(/\r\n|\n|\r/);
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}

/** A text as a part of a value, or of a key: whatever it holds, it reads as itself. */
export function escapeProperty(text: string, place: "key" | "value"): string {
  const escaped = text
    .replaceAll("\\", "\\\\")
    .replaceAll("\n", "\\n")
    .replaceAll("\r", "\\r")
    .replaceAll("\t", "\\t")
    .replaceAll("\f", "\\f");
  // A blank in front of a value would be dropped; a comment's sign matters at the beginning of a line only.
  return place === "value"
    ? escaped.replace(/^ +/, (blanks) => "\\ ".repeat(blanks.length))
    : escaped.replaceAll(/[ =:#!]/g, "\\$&");
}
