/** Whether a value is what its format says, with line and column where not, and of a size that is told. */
import { type ParseError, parseTree } from "jsonc-parser";
import { parse as parseToml, TomlError } from "smol-toml";
import { LineCounter, parseDocument } from "yaml";
import { VALUE_BYTES_MAX, type Item, type Items, type ReleaseProblem } from "../api.ts";
import { jsonShapeProblem } from "#base";
import { dataOf, nestsTooDeep, NESTING_MAX } from "#base/formats";
import { readPlainJson } from "#base/plain-json";

/** All that is wrong with the size and the syntax of values, in order of key. */
export function checkSyntax(items: Items): ReleaseProblem[] {
  const problems: ReleaseProblem[] = [];
  for (const [key, item] of Object.entries(items).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const bytes = bytesOf(item);
    const problem =
      bytes > VALUE_BYTES_MAX
        ? { message: `it is ${bytes} bytes, ${VALUE_BYTES_MAX} are the most` }
        : CHECKS[item.format](item.value);
    // What parsers say quotes the text; of a secret it is told what it should be, and where it is not.
    const message = item.secret && bytes <= VALUE_BYTES_MAX ? `the secret is no ${item.format}` : problem?.message;
    if (problem && message !== undefined) problems.push({ key, pointer: "", ...problem, message });
  }
  return problems;
}

/** Bytes of a value: of a binary one those that its base64 stands for. */
export function bytesOf({ format, value }: Pick<Item, "format" | "value">): number {
  if (format !== "binary") return encoder.encode(value).length;
  return Math.floor((value.length * 3) / 4) - (value.endsWith("==") ? 2 : value.endsWith("=") ? 1 : 0);
}

const encoder = new TextEncoder();

const TOO_DEEP = {
  message: `lists and objects are more than ${NESTING_MAX} deep in each other, or one contains itself`,
};

function tooDeep(data: unknown): Found {
  return nestsTooDeep(data) ? TOO_DEEP : undefined;
}

/** Brackets open at a time in a YAML text, those in strings counted: beyond it a reader takes a kilobyte for each. */
const OPEN_BRACKETS_MAX = 10_000;

function opensTooMany(value: string): boolean {
  let open = 0;
  for (const [bracket] of value.matchAll(/[[\]{}]/g)) {
    open = bracket === "[" || bracket === "{" ? open + 1 : Math.max(0, open - 1);
    if (open > OPEN_BRACKETS_MAX) return true;
  }
  return false;
}

type Found = { message: string; line?: number; column?: number } | undefined;

const CHECKS: Record<Items[string]["format"], (value: string) => Found> = {
  text: () => undefined,
  binary: (value) =>
    /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$/.test(value)
      ? undefined
      : { message: "a binary value is base64 (RFC 4648 §4, with padding, without line breaks)" },
  json(value) {
    // Before the parser starts: a megabyte of brackets takes it a second.
    if (jsonShapeProblem(encoder.encode(value), { depthMax: NESTING_MAX + 1, partsMax: Infinity })) return TOO_DEEP;
    try {
      return tooDeep(JSON.parse(value));
    } catch (error) {
      // V8 says what is wrong but not always where; this reader always does.
      const errors: ParseError[] = [];
      try {
        parseTree(value, errors, { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false });
      } catch {
        // It nests deeper than that reader goes; what V8 said has to do.
      }
      const [first] = errors;
      return { message: (error as Error).message, ...(first ? place(value, first.offset) : {}) };
    }
  },
  yaml(value) {
    if (opensTooMany(value)) return TOO_DEEP;
    const plain = readPlainJson(value);
    if (plain) return tooDeep(plain);
    const lines = new LineCounter();
    try {
      const document = parseDocument(value, { lineCounter: lines, uniqueKeys: true, prettyErrors: false });
      const [first] = document.errors;
      if (first) {
        const { line, col } = lines.linePos(first.pos[0]);
        return { message: first.message, line, column: col };
      }
      return tooDeep(dataOf(document));
    } catch (error) {
      return { message: (error as Error).message };
    }
  },
  toml(value) {
    try {
      return tooDeep(parseToml(value));
    } catch (error) {
      if (!(error instanceof TomlError)) return { message: (error as Error).message };
      return { message: error.message.split("\n", 1)[0] ?? "", line: error.line, column: error.column };
    }
  },
  properties(value) {
    const lines = value.split(/\r\n|\n|\r/);
    let continued = false;
    for (const [index, line] of lines.entries()) {
      const text = line.trimStart();
      const isContinuation = continued;
      continued = /(^|[^\\])(\\\\)*\\$/.test(line);
      if (isContinuation || text === "" || text.startsWith("#") || text.startsWith("!")) continue;
      const bad = /\\u(?![0-9a-fA-F]{4})/.exec(text);
      if (bad) return { message: "\\u wants four hex digits", line: index + 1, column: bad.index + 1 };
      if (/^[=:]/.test(text)) return { message: "a line begins without a key", line: index + 1, column: 1 };
    }
    return undefined;
  },
};

function place(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split("\n");
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}
