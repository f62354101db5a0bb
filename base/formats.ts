/**
 * A config value's text as the data that its format says it is; one reading for whoever checks and whoever uses it. YAML
 * aliases are bounded, since a few bytes of them can stand for gigabytes.
 */
import { parse as parseToml } from "smol-toml";
import { parseDocument, type Document } from "yaml";
import { own, ownMember } from "./own.ts";

/** Alias expansions in one YAML value: plenty for anchors of people, nothing for a bomb. */
export const YAML_ALIASES_MAX = 100;

/**
 * `yaml`, `json` and `toml` as their data, `properties` as one flat object of texts, `text` as it is, `binary` (base64) as a
 * Uint8Array.
 * @throws Error that says what does not parse, or that the format is not known here
 */
export function readValue({ format, value }: { readonly format: string; readonly value: string }): unknown {
  switch (format) {
    case "text":
      return value;
    case "json":
      return JSON.parse(value);
    case "yaml":
      return dataOf(parseYaml(value));
    case "toml":
      return parseToml(value);
    case "properties":
      return readProperties(value);
    case "binary":
      return readBase64(value);
    default:
      throw new Error(`the format "${format}" is not known here`);
  }
}

/** YAML 1.2, whose keys are unique. @throws its first error */
export function parseYaml(text: string): Document.Parsed {
  const document = parseDocument(text, { prettyErrors: true, uniqueKeys: true, schema: "core" });
  const [first] = document.errors;
  if (first) throw first;
  return document;
}

/** @throws Error when there are more aliases than anybody needs */
export function dataOf(document: Document): unknown {
  return document.toJS({ maxAliasCount: YAML_ALIASES_MAX }) as unknown;
}

function readBase64(text: string): Uint8Array {
  const packed = text.replaceAll(/\s/g, "");
  if (packed.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(packed)) throw new Error("it is no base64");
  return Uint8Array.from(Buffer.from(packed, "base64"));
}

/**
 * One flat object of texts.
 * @see https://docs.oracle.com/en/java/javase/21/docs/api/java.base/java/util/Properties.html (load)
 */
export function readProperties(text: string): Record<string, string> {
  const entries = logicalLines(text).map((line): [string, string] => {
    const [, key = "", value = ""] = /^((?:[^\\=:\s]|\\.)*)[ \t\f]*[=:]?[ \t\f]*(.*)$/s.exec(line) ?? [];
    return [unescape(key), unescape(value)];
  });
  return Object.fromEntries(entries);
}

/** Without comments and blank lines; a line that ends in an odd number of backslashes goes on in the next one. */
function logicalLines(text: string): string[] {
  const lines: string[] = [];
  let begun: string | undefined;
  for (const natural of text.split(/\r\n|\n|\r/)) {
    const line = natural.replace(/^[ \t\f]+/, "");
    if (begun === undefined && (line === "" || line.startsWith("#") || line.startsWith("!"))) continue;
    const whole = (begun ?? "") + line;
    const goesOn = (/\\*$/.exec(line)?.[0].length ?? 0) % 2 === 1;
    if (!goesOn) lines.push(whole);
    begun = goesOn ? whole.slice(0, -1) : undefined;
  }
  if (begun !== undefined) lines.push(begun);
  return lines;
}

const ESCAPES: Readonly<Record<string, string>> = { t: "\t", n: "\n", r: "\r", f: "\f" };

function unescape(text: string): string {
  return text.replaceAll(/\\(?:u([0-9a-fA-F]{4})|(.))/gs, (_all, hex: string | undefined, char: string | undefined) =>
    hex === undefined ? (own(ESCAPES, char ?? "") ?? char ?? "") : String.fromCodePoint(Number.parseInt(hex, 16)),
  );
}

/** Lists and objects inside each other: whoever reads a value may do so by recursion. */
export const NESTING_MAX = 100;

/** Whether data nests deeper than that, or contains itself. */
export function nestsTooDeep(data: unknown): boolean {
  let level: unknown[] = [data];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > NESTING_MAX) return true;
    // An alias is one object in many places, and is looked at once a level.
    const next = new Set<unknown>();
    for (const one of level) {
      if (typeof one !== "object" || one === null || one instanceof Date) continue;
      for (const inner of Object.values(one)) if (typeof inner === "object" && inner !== null) next.add(inner);
    }
    level = [...next];
  }
  return false;
}

/** What stands at a path of member names and list indices; undefined when nothing does. */
export function valueAt(data: unknown, path: readonly string[]): unknown {
  let value = data;
  for (const part of path) {
    if (Array.isArray(value)) value = /^\d+$/.test(part) ? (value[Number(part)] as unknown) : undefined;
    else if (ArrayBuffer.isView(value)) return undefined;
    else value = ownMember(value, part);
  }
  return value;
}

/** Whether a value has named members. */
export function isTable(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Date) &&
    !ArrayBuffer.isView(value)
  );
}
