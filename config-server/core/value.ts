/**
 * A value as data: what its format says, read once in one way by whoever needs a part of it. Properties are one flat
 * object of texts; text and binary are themselves. Bounded, since a few bytes of YAML can stand for gigabytes.
 */
import { parse as parseToml } from "smol-toml";
import { parseDocument, type Document } from "yaml";
import type { Item } from "../api.ts";

/** Alias expansions in one YAML value: plenty for anchors of people, nothing for a bomb. */
export const YAML_ALIASES_MAX = 100;

const READERS: Record<Item["format"], (value: string) => unknown> = {
  yaml: (value) => dataOf(parseYaml(value)),
  json: (value) => JSON.parse(value) as unknown,
  toml: parseToml,
  properties: readProperties,
  text: (value) => value,
  binary: (value) => value,
};

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

/** @throws Error when the value is not what its format says; releases are checked, so that is a defect of who asks */
export function readValue({ format, value }: Pick<Item, "format" | "value">): unknown {
  return READERS[format](value);
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
