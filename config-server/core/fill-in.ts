/**
 * Values are filled into a text so that nothing but the placeholders changes: comments, quotes, order, and how every other
 * number is written keep their bytes. Only values are filled in, never syntax. A scalar whose style cannot hold the value is
 * written again in double quotes; reading it back shows whether it can.
 */
import { isScalar, parseDocument, visit } from "yaml";
import { isTable, Literal, parseYaml, YAML_OPTIONS } from "#base/formats";
import { escapeProperty, logicalLines } from "#base/properties";
import { readTomlSource, tomlValue } from "#base/toml-source";

/** `${…}` with what is inside, an opening without an end, or `$${`, which is a plain `${`. */
export const PLACEHOLDER = /\$\$\{|\$\{([^}\n]{0,512})(\})?/g;

/** The result for one string: a text for each placeholder in order, or data when the string is exactly one placeholder. */
export type Filling = { readonly texts: readonly string[] } | { readonly data: unknown };

/** Throws for a placeholder that cannot be filled in. */
export type Fill = (value: string) => Filling;

type Structured = "yaml" | "json" | "toml";

/** A string of a structured text, with where it is and how to write it. */
interface Place {
  readonly start: number;
  readonly end: number;
  readonly value: string;
  /** A text for this place, escaped as its quotes require; `indent`: spaces before the line. */
  write(text: string, indent: number): string;
  /** The value of a candidate source. Throws or returns another value when the candidate breaks out. */
  readonly read: (source: string) => unknown;
}

export function fillIn(format: Structured | "properties", text: string, fill: Fill): string {
  if (!text.includes("${")) return text;
  if (format === "properties") return fillProperties(text, fill);
  const places = { yaml: yamlPlaces, json: jsonPlaces, toml: tomlPlaces }[format](text);
  let filled = "";
  let at = 0;
  for (const place of places.filter(({ value }) => value.includes("${"))) {
    filled += text.slice(at, place.start) + filledIn(text, place, { format, filling: fill(place.value) });
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

function filledIn(text: string, place: Place, { format, filling }: { format: Structured; filling: Filling }): string {
  const source = text.slice(place.start, place.end);
  // The end of a block scalar is the end of its line.
  const lineEnd = source.endsWith("\n") ? "\n" : "";
  if ("data" in filling) return write(filling.data, format) + lineEnd;
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
function write(data: unknown, format: Structured): string {
  if (data instanceof Literal) return data.textIn(format);
  if (typeof data === "string") return quoted(data);
  if (data === null || data === undefined) {
    if (format === "toml") throw new Error("TOML has no null");
    return "null";
  }
  const [comma, is] = SEPARATORS[format];
  if (Array.isArray(data)) return `[${data.map((one) => write(one, format)).join(comma)}]`;
  if (!isTable(data)) return JSON.stringify(data);
  const members = Object.entries(data).map(([name, value]) => `${quoted(name)}${is}${write(value, format)}`);
  return `{${members.join(comma)}}`;
}

const SEPARATORS = { json: [",", ":"], yaml: [", ", ": "], toml: [", ", " = "] } as const;

const inQuotes = (text: string) => quoted(text).slice(1, -1);

function jsonPlaces(text: string): Place[] {
  return [...text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?/g)].flatMap((found): Place[] => {
    if (found[1] !== undefined || !found[0].includes("${")) return [];
    const [start, end] = [found.index, found.index + found[0].length];
    return [{ start, end, value: JSON.parse(found[0]) as string, write: inQuotes, read: JSON.parse }];
  });
}

function tomlPlaces(text: string): Place[] {
  return readTomlSource(text).strings.map((string): Place => {
    const isLiteral = text[string.start] === "'";
    return { ...string, write: isLiteral ? (part) => part : inQuotes, read: tomlValue };
  });
}

/** Values only: names are not filled in. */
function yamlPlaces(text: string): Place[] {
  const places: Place[] = [];
  visit(parseYaml(text), {
    Scalar(place, node, path) {
      const { value, range, type } = node;
      if (place === "key" || typeof value !== "string" || !range || !value.includes("${")) return;
      const inFlow = path.some((around) => (around as { flow?: boolean }).flow === true);
      const [start, end] = range;
      places.push({
        start,
        end,
        value,
        write: yamlWriter(type),
        read: (source) => readYamlScalar(source, type, inFlow),
      });
    },
  });
  return places.sort((a, b) => a.start - b.start);
}

type YamlWriter = Place["write"];

function yamlWriter(type: string | undefined | null): YamlWriter {
  if (type === "QUOTE_DOUBLE") return inQuotes;
  if (type === "QUOTE_SINGLE") return (text) => text.replaceAll("'", "''");
  if (type === "BLOCK_LITERAL") return (text, indent) => text.replaceAll("\n", `\n${" ".repeat(indent)}`);
  return (text) => text;
}

/** The value of a scalar's source in its place: in the same style, and equal for readers of YAML 1.1. */
function readYamlScalar(source: string, type: string | undefined | null, inFlow: boolean): unknown {
  const [before, after] = inFlow ? ["[", "]"] : ["k: ", "\n"];
  const values = (["1.2", "1.1"] as const).map((version) => {
    const document = parseDocument(`${before}${source}${after}`, {
      ...YAML_OPTIONS,
      schema: SCHEMAS[version],
      version,
    });
    if (document.errors.length > 0) return undefined;
    const node = document.getIn([inFlow ? 0 : "k"], true);
    const alone = document.contents !== null && "items" in document.contents && document.contents.items.length === 1;
    const noted = isScalar(node) && node.comment !== undefined && node.comment !== null;
    return isScalar(node) && node.type === type && alone && !noted ? node.value : undefined;
  });
  return values[0] === values[1] ? values[0] : undefined;
}

const SCHEMAS = { "1.2": "core", "1.1": "yaml-1.1" } as const;

/** Comments are not filled in. */
function fillProperties(text: string, fill: Fill): string {
  let filled = "";
  let at = 0;
  for (const { pieces, keyLength } of logicalLines(text)) {
    let behind = 0;
    for (const { start, end } of pieces) {
      const source = text.slice(start, end);
      const filling = source.includes("${") ? fill(source) : undefined;
      const lengthBefore = behind;
      behind += source.length;
      if (!filling) continue;
      const texts = "texts" in filling ? filling.texts : [];
      const place = (offset: number) => (lengthBefore + offset < keyLength ? "key" : "value");
      filled += text.slice(at, start) + withTexts(source, texts, (part, offset) => escapeProperty(part, place(offset)));
      at = end;
    }
  }
  return filled + text.slice(at);
}
