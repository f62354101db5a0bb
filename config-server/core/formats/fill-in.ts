/**
 * Values are filled into a text so that nothing but the placeholders changes: comments, quotes, order, and how every other
 * number is written keep their bytes. Only values are filled in, never syntax. A scalar whose style cannot hold the value is
 * written again in double quotes; reading it back shows whether it can.
 */
import type { ValueFormatName } from "#base";
import { isTable, Literal } from "#base/formats";

/** `${…}` with what is inside, an opening without an end, or `$${`, which is a plain `${`. */
export const PLACEHOLDER = /\$\$\{|\$\{([^}\n]{0,512})(\})?/g;

/** The result for one string: a text for each placeholder in order, or data when the string is exactly one placeholder. */
export type Filling = { readonly texts: readonly string[] } | { readonly data: unknown };

/** The values of the placeholders in a string. Both functions throw for a placeholder that cannot be filled in. */
export interface Fill {
  /** A text for each placeholder, in order. */
  texts(string: string): readonly string[];
  /** The same, for formats with types: a string that is exactly one placeholder takes the type of its value. */
  typed(string: string): Filling;
}

/** A string of a structured text, with where it is and how to write it. */
export interface Place {
  readonly start: number;
  readonly end: number;
  readonly value: string;
  /** A text for this place, escaped as its quotes require; `indent`: spaces before the line. */
  write(text: string, indent: number): string;
  /** The value of a candidate source. Throws or returns another value when the candidate breaks out. */
  readonly read: (source: string) => unknown;
}

/** How a format writes data on one line. Strings are in double quotes, lists in [], objects in {}. */
export interface Notation {
  readonly format: ValueFormatName;
  readonly comma: string;
  /** Between a name and its value. */
  readonly is: string;
  /** Absent: the format cannot write null. */
  readonly null?: string;
}

/** Fills in the strings of a text. `places` are in the order of the text. */
export function fillPlaces(text: string, fill: Fill, places: readonly Place[], notation: Notation): string {
  let filled = "";
  let at = 0;
  for (const place of places.filter(({ value }) => value.includes("${"))) {
    filled += text.slice(at, place.start) + filledIn(text, place, { notation, filling: fill.typed(place.value) });
    at = place.end;
  }
  return filled + text.slice(at);
}

/** A text with its placeholders replaced, in order. */
export function withTexts(
  text: string,
  texts: readonly string[],
  write: (text: string, offset: number) => string,
): string {
  let turn = 0;
  return text.replaceAll(PLACEHOLDER, (_found, _inner, _closed, offset: number) => write(texts[turn++] ?? "", offset));
}

function filledIn(text: string, place: Place, { notation, filling }: { notation: Notation; filling: Filling }): string {
  const source = text.slice(place.start, place.end);
  // The end of a block scalar is the end of its line.
  const lineEnd = source.endsWith("\n") ? "\n" : "";
  if ("data" in filling) return write(filling.data, notation) + lineEnd;
  const value = withTexts(place.value, filling.texts, (part) => part);
  if ([...source.matchAll(PLACEHOLDER)].length === filling.texts.length) {
    const candidate = withTexts(source, filling.texts, (part, offset) => place.write(part, indentAt(source, offset)));
    if (reads(place, candidate, value)) return candidate;
  }
  return quoted(value) + lineEnd;
}

/** Spaces before the line that contains a placeholder. */
function indentAt(source: string, offset: number): number {
  const lineStart = source.lastIndexOf("\n", offset - 1) + 1;
  return /^ */.exec(source.slice(lineStart))?.[0].length ?? 0;
}

function reads({ read }: Place, source: string, value: string): boolean {
  try {
    return read(source) === value;
  } catch {
    return false;
  }
}

/** A text in double quotes, as JSON, YAML and TOML all read it. */
function quoted(text: string): string {
  return JSON.stringify(text).replaceAll(
    /[\u007f-\u009f\u2028\u2029\ufeff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Data on one line. */
function write(data: unknown, notation: Notation): string {
  const { format, comma, is } = notation;
  if (data instanceof Literal) return data.textIn(format);
  if (typeof data === "string") return quoted(data);
  if (data === null || data === undefined) {
    if (notation.null === undefined) throw new Error(`${format.toUpperCase()} has no null`);
    return notation.null;
  }
  if (Array.isArray(data)) return `[${data.map((one) => write(one, notation)).join(comma)}]`;
  if (!isTable(data)) return JSON.stringify(data);
  const members = Object.entries(data).map(([name, value]) => `${quoted(name)}${is}${write(value, notation)}`);
  return `{${members.join(comma)}}`;
}

/** A text between double quotes. */
export const inQuotes = (text: string) => quoted(text).slice(1, -1);
