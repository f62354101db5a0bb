/** Whether a value is what its format says, with line and column where not. */
import { type ParseError, parseTree } from "jsonc-parser";
import { parse as parseToml, TomlError } from "smol-toml";
import { LineCounter, parseDocument } from "yaml";
import { YAML_ALIASES_MAX } from "#base/formats";
import type { Items, ReleaseProblem } from "../api.ts";

/** All that is wrong with the syntax of a release, in order of key. */
export function checkSyntax(items: Items): ReleaseProblem[] {
  const problems: ReleaseProblem[] = [];
  for (const [key, { format, value }] of Object.entries(items).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const problem = CHECKS[format](value);
    if (problem) problems.push({ key, pointer: "", ...problem });
  }
  return problems;
}

type Found = { message: string; line?: number; column?: number } | undefined;

const CHECKS: Record<Items[string]["format"], (value: string) => Found> = {
  text: () => undefined,
  json(value) {
    try {
      JSON.parse(value);
      return undefined;
    } catch (error) {
      // V8 says what is wrong but not always where; this reader always does.
      const errors: ParseError[] = [];
      parseTree(value, errors, { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false });
      const [first] = errors;
      return { message: (error as Error).message, ...(first ? place(value, first.offset) : {}) };
    }
  },
  yaml(value) {
    const lines = new LineCounter();
    const document = parseDocument(value, { lineCounter: lines, uniqueKeys: true, prettyErrors: false });
    const [first] = document.errors;
    if (first) {
      const { line, col } = lines.linePos(first.pos[0]);
      return { message: first.message, line, column: col };
    }
    try {
      document.toJS({ maxAliasCount: YAML_ALIASES_MAX });
      return undefined;
    } catch (error) {
      return { message: (error as Error).message };
    }
  },
  toml(value) {
    try {
      parseToml(value);
      return undefined;
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
