/**
 * Reads a config value's text as the data of its format. Checks and users of a value share this reader. YAML aliases are bounded,
 * because a few bytes of them can expand to gigabytes.
 */
import { parse as parseToml } from "smol-toml";
import { parseDocument, visit, type Document, type DocumentOptions, type ParseOptions, type SchemaOptions } from "yaml";
import { exactNumber, Literal } from "./literal.ts";
import { ownMember } from "./own.ts";
import { readProperties } from "./properties.ts";
import { readTomlSource } from "./toml-source.ts";

export { Literal } from "./literal.ts";

/** Alias expansions in one YAML value: plenty for handwritten anchors, too few for an alias bomb. */
const YAML_ALIASES_MAX = 100;

/** YAML 1.2 with unique keys, and merge keys (`<<`), which most readers of YAML know. */
export const YAML_OPTIONS = {
  prettyErrors: true,
  uniqueKeys: true,
  schema: "core",
  merge: true,
} as const satisfies ParseOptions & DocumentOptions & SchemaOptions;

type Valued = { readonly format: string; readonly value: string };

/**
 * `yaml`, `json` and `toml` as their data, `properties` as one flat object of texts, `text` as it is, `binary` (base64) as a
 * Uint8Array. An integer that a number would round is a bigint.
 * @throws Error with what does not parse, or for an unknown format
 */
export function readValue({ format, value }: Valued): unknown {
  switch (format) {
    case "text":
      return value;
    case "json":
      return MAY_ROUND.test(value) ? JSON.parse(value, exactly) : JSON.parse(value);
    case "yaml":
      return dataOf(parseYaml(value));
    case "toml":
      return parseToml(value, { integersAsBigInt: "asNeeded" });
    case "properties":
      return readProperties(value);
    case "binary":
      return readBase64(value);
    default:
      throw new Error(`unknown format "${format}"`);
  }
}

/**
 * The same, with each scalar that is not a text as a Literal, which keeps its spelling; null is null. For templates, which insert
 * values into other texts.
 * @throws as readValue
 */
export function readSource({ format, value }: Valued): unknown {
  if (format === "json") return JSON.parse(value, literally);
  if (format === "toml") return readTomlSource(value).tree;
  if (format !== "yaml") return readValue({ format, value });
  const document = parseYaml(value);
  visit(document, {
    Scalar(place, node) {
      const { source, value } = node as { source?: string; value: unknown };
      if (source === undefined || value === null || typeof value === "string") return;
      // A name is its text, too: a number as a name would lose its digits.
      if (place === "key") node.value = source;
      else if (typeof value === "number") node.value = new Literal(source, exactNumber(source, value), "yaml");
      else if (typeof value === "boolean") node.value = new Literal(source, value, "yaml");
    },
  });
  return toData(document);
}

/** Digits or exponents that a number may lose. */
const MAY_ROUND = /\d{16}|[eE]\+?\d{3}/;

/** JSON.parse passes a third argument, which the library's types do not have yet. */
type Reviver = (this: unknown, name: string, value: unknown, context?: { readonly source?: string }) => unknown;
const exactly: Reviver = (_name, value, { source = "" } = {}) =>
  typeof value === "number" ? exactNumber(source, value) : value;
const literally: Reviver = (_name, value, { source = "" } = {}) => {
  if (typeof value === "number") return new Literal(source, exactNumber(source, value), "json");
  return typeof value === "boolean" ? new Literal(source, value, "json") : value;
};

/** @throws the text's first error */
export function parseYaml(text: string): Document.Parsed {
  const document = parseDocument(text, YAML_OPTIONS);
  const [first] = document.errors;
  if (first) throw first;
  return document;
}

/** Integers that a number would round are bigints. @throws Error for too many aliases */
export function dataOf(document: Document): unknown {
  visit(document, {
    Scalar(place, node) {
      const { source, value } = node as { source?: string; value: unknown };
      if (source === undefined || typeof value !== "number") return;
      const exact = exactNumber(source, value);
      if (typeof exact === "bigint") node.value = place === "key" ? source : exact;
    },
  });
  return toData(document);
}

function toData(document: Document): unknown {
  return document.toJS({ maxAliasCount: YAML_ALIASES_MAX }) as unknown;
}

function readBase64(text: string): Uint8Array {
  const packed = text.replaceAll(/\s/g, "");
  if (packed.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(packed)) throw new Error("it is not valid base64");
  return Uint8Array.from(Buffer.from(packed, "base64"));
}

/** Depth of lists and objects, so that readers of a value may use recursion. */
export const NESTING_MAX = 100;

/** Whether data nests deeper than that, or contains itself. */
export function nestsTooDeep(data: unknown): boolean {
  let level: unknown[] = [data];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > NESTING_MAX) return true;
    // An alias is one object in many places, and is examined once per level.
    const next = new Set<unknown>();
    for (const one of level) {
      if (typeof one !== "object" || one === null || one instanceof Date || one instanceof Literal) continue;
      for (const inner of Object.values(one)) if (typeof inner === "object" && inner !== null) next.add(inner);
    }
    level = [...next];
  }
  return false;
}

/** The value at a path of member names and list indices; undefined when there is none. */
export function valueAt(data: unknown, path: readonly string[]): unknown {
  let value = data;
  for (const part of path) {
    if (Array.isArray(value)) value = /^\d+$/.test(part) ? (value[Number(part)] as unknown) : undefined;
    else if (ArrayBuffer.isView(value) || value instanceof Literal) return undefined;
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
    !(value instanceof Literal) &&
    !ArrayBuffer.isView(value)
  );
}
