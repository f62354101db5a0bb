/** A released text as data: what its format says it holds. */
import { parse as parseToml } from "smol-toml";
import { parseDocument } from "yaml";

/** Alias expansions in one YAML value; the config server refuses what has more. */
const YAML_ALIASES_MAX = 100;

/**
 * The tree of a yaml, json or toml text, and the flat table of a properties text; any other format is its text.
 * @throws what the parser says when the text is not what its format says
 */
export function treeOf(format: string, text: string): unknown {
  if (format === "yaml") return parseYaml(text);
  if (format === "json") return JSON.parse(text);
  if (format === "toml") return parseToml(text);
  if (format === "properties") return parseProperties(text);
  return text;
}

/** Whether a value has named members. */
export function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function parseYaml(text: string): unknown {
  const document = parseDocument(text, { prettyErrors: false });
  const [first] = document.errors;
  if (first) throw first;
  return document.toJS({ maxAliasCount: YAML_ALIASES_MAX });
}

const ESCAPES: Readonly<Record<string, string>> = { t: "\t", n: "\n", r: "\r", f: "\f" };

/** As java.util.Properties reads it: names keep their dots, a backslash at the end of a line continues it. */
function parseProperties(text: string): Record<string, string> {
  const logical = text
    .split(/\r\n|\n|\r/)
    .map((line) => line.trimStart())
    .reduce<{ lines: string[]; open: boolean }>(
      ({ lines, open }, line) => {
        if (!open && /^([#!]|$)/.test(line)) return { lines, open };
        const continued = /(^|[^\\])(\\\\)*\\$/.test(line);
        const part = continued ? line.slice(0, -1) : line;
        if (open) lines.push(`${lines.pop()}${part}`);
        else lines.push(part);
        return { lines, open: continued };
      },
      { lines: [], open: false },
    ).lines;
  const pairs = logical.map((line): [string, string] => {
    const [, name = "", value = ""] = /^((?:\\.|[^\\=:\s])*)(?:\s*[=:]\s*|\s+|$)([^]*)$/.exec(line) ?? [];
    return [unescape(name), unescape(value)];
  });
  // As defined members, so that no name can reach a prototype.
  return Object.fromEntries(pairs);
}

function unescape(text: string): string {
  return text.replaceAll(/\\(?:u([0-9a-fA-F]{4})|([^]))/g, (_, hex: string | undefined, letter: string = "") =>
    hex === undefined ? (ESCAPES[letter] ?? letter) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
