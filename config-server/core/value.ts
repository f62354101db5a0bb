/**
 * A value as data: what its format says, read once in one way by whoever needs a part of it. Properties are one flat
 * object of texts; text and binary are themselves. Bounded, since a few bytes of YAML can stand for gigabytes.
 */
import { parse as parseToml } from "smol-toml";
import { parseDocument, type Document } from "yaml";
import type { Item } from "../api.ts";

/** Alias expansions in one YAML value: plenty for anchors of people, nothing for a bomb. */
export const YAML_ALIASES_MAX = 100;

/** @throws Error when the value is not what its format says; releases are checked, so that is a defect of who asks */
export function readValue({ format, value }: Pick<Item, "format" | "value">): unknown {
  switch (format) {
    case "yaml":
      return dataOf(parseYaml(value));
    case "json":
      return JSON.parse(value);
    case "toml":
      return parseToml(value);
    case "properties":
      return readProperties(value);
    case "text":
    case "binary":
    default:
      return value;
  }
}

/** YAML 1.2. @throws its first error */
export function parseYaml(text: string): Document.Parsed {
  const document = parseDocument(text, { prettyErrors: false, uniqueKeys: true, schema: "core" });
  const [first] = document.errors;
  if (first) throw first;
  return document;
}

export function dataOf(document: Document): unknown {
  return document.toJS({ maxAliasCount: YAML_ALIASES_MAX }) as unknown;
}

/** `key=value`, `key: value` or `key value`, line by line; a backslash at the end goes on in the next. */
export function readProperties(text: string): Record<string, string> {
  const found: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const line of text.replaceAll(/\\\r?\n[ \t]*/g, "").split(/\r\n|\n|\r/)) {
    const match = /^\s*(?![#!])((?:[^\\=:\s]|\\.)+)\s*[=:\s]?\s*(.*)$/.exec(line);
    if (match?.[1] !== undefined) found[match[1].replaceAll(/\\(.)/g, "$1")] = match[2] ?? "";
  }
  return { ...found };
}

/** What stands at a path of member names and list indices; undefined when nothing does. */
export function valueAt(data: unknown, path: readonly string[]): unknown {
  let value = data;
  for (const part of path) {
    if (Array.isArray(value)) value = /^\d+$/.test(part) ? (value[Number(part)] as unknown) : undefined;
    else if (typeof value === "object" && value !== null && Object.hasOwn(value, part))
      value = (value as Record<string, unknown>)[part];
    else return undefined;
  }
  return value;
}
