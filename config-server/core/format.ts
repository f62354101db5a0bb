/** Checks values against their format and size. Problems have a line and a column. */
import { hasLoneSurrogate, jsonShapeProblem } from "#base";
import { type ParseError, parseTree } from "jsonc-parser";
import { TomlError } from "smol-toml";
import { LineCounter, parseDocument } from "yaml";
import { VALUE_BYTES_MAX, type Item, type Items, type ReleaseProblem } from "../api.ts";
import { dataOf, nestsTooDeep, NESTING_MAX, readValue, YAML_OPTIONS } from "#base/formats";
import { doubleMember, readPlainJson } from "#base/plain-json";
import { propertyProblem, readProperties } from "#base/properties";

/** All problems with the size and the syntax of values, in order of key. */
export function checkSyntax(items: Items): ReleaseProblem[] {
  const problems: ReleaseProblem[] = [];
  for (const [key, item] of Object.entries(items).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const bytes = bytesOf(item);
    const problem =
      bytes > VALUE_BYTES_MAX
        ? { message: `it is ${bytes} bytes; at most ${VALUE_BYTES_MAX} are allowed` }
        : (lfsPointer(item) ?? CHECKS[item.format](item.value));
    // Messages of parsers quote the text. The message for a secret names only the format, and the place.
    const message =
      item.secret && bytes <= VALUE_BYTES_MAX ? `the secret is not valid ${item.format}` : problem?.message;
    if (problem && message !== undefined) problems.push({ key, pointer: "", ...problem, message });
  }
  return problems;
}

/** Bytes of a value. A binary value counts decoded. */
export function bytesOf({ format, value }: Pick<Item, "format" | "value">): number {
  if (format !== "binary") return encoder.encode(value).length;
  return Math.floor((value.length * 3) / 4) - (value.endsWith("==") ? 2 : value.endsWith("=") ? 1 : 0);
}

const encoder = new TextEncoder();

const TOO_DEEP = {
  message: `lists and objects are nested more than ${NESTING_MAX} deep, or one contains itself`,
};

const NO_UNICODE = {
  message: "a text in it is not Unicode: half of a surrogate pair is alone; remove it, or write both halves",
};

/** Problems of data in any format: nested too deep, or with a text that no file can hold. */
function unsound(data: unknown): Found {
  if (nestsTooDeep(data)) return TOO_DEEP;
  return hasLoneSurrogate(data) ? NO_UNICODE : undefined;
}

/** Brackets open at a time in a YAML text, those in strings counted: beyond it a parser needs a kilobyte for each. */
const OPEN_BRACKETS_MAX = 10_000;

function opensTooMany(value: string): boolean {
  let open = 0;
  for (const [bracket] of value.matchAll(/[[\]{}]/g)) {
    open = bracket === "[" || bracket === "{" ? open + 1 : Math.max(0, open - 1);
    if (open > OPEN_BRACKETS_MAX) return true;
  }
  return false;
}

/** @see https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md */
const LFS_POINTER =
  /^version https:\/\/git-lfs\.github\.com\/spec\/v\d+\n(?:[a-z0-9.-]+ [^\n]+\n)*oid [a-z0-9]+:[0-9a-f]+\nsize \d+\n?$/;
const LFS_POINTER_BYTES_MAX = 1024;
export const LFS_POINTER_MESSAGE = "is a Git LFS pointer, not the file; store config in git itself";

/** Whether a file is a pointer that git stores in place of a large file. A text that only begins like one is a text. */
export function isLfsPointer(bytes: Uint8Array): boolean {
  return bytes.length <= LFS_POINTER_BYTES_MAX && LFS_POINTER.test(Buffer.from(bytes).toString("latin1"));
}

function lfsPointer({ format, value }: Pick<Item, "format" | "value">): Found {
  // Base64 is a third longer than its bytes.
  if (value.length > 2 * LFS_POINTER_BYTES_MAX) return undefined;
  return isLfsPointer(Buffer.from(value, format === "binary" ? "base64" : "utf8"))
    ? { message: LFS_POINTER_MESSAGE }
    : undefined;
}

type Found = { message: string; line?: number; column?: number } | undefined;

const CHECKS: Record<Items[string]["format"], (value: string) => Found> = {
  text: (value) => (value.isWellFormed() ? undefined : NO_UNICODE),
  binary: (value) =>
    /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$/.test(value)
      ? undefined
      : { message: "a binary value is base64 (RFC 4648 §4, with padding, without line breaks)" },
  json(value) {
    // Before the parser starts: a megabyte of brackets takes it a second.
    if (jsonShapeProblem(encoder.encode(value), { depthMax: NESTING_MAX + 1, partsMax: Infinity })) return TOO_DEEP;
    try {
      const problem = unsound(readValue({ format: "json", value }));
      return problem ?? doubled(value);
    } catch (error) {
      // V8 does not always give the place of an error; this parser does.
      const errors: ParseError[] = [];
      try {
        parseTree(value, errors, { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false });
      } catch {
        // The value nests deeper than that parser can read; the message of V8 must do.
      }
      const [first] = errors;
      return { message: (error as Error).message, ...(first ? place(value, first.offset) : {}) };
    }
  },
  yaml(value) {
    if (opensTooMany(value)) return TOO_DEEP;
    const plain = readPlainJson(value);
    if (plain) return unsound(plain);
    const lines = new LineCounter();
    try {
      const document = parseDocument(value, { ...YAML_OPTIONS, lineCounter: lines, prettyErrors: false });
      const [first] = document.errors;
      if (first) {
        const { line, col } = lines.linePos(first.pos[0]);
        return { message: first.message, line, column: col };
      }
      return unsound(dataOf(document));
    } catch (error) {
      return { message: (error as Error).message };
    }
  },
  toml(value) {
    try {
      return unsound(readValue({ format: "toml", value }));
    } catch (error) {
      if (!(error instanceof TomlError)) return { message: (error as Error).message };
      return { message: error.message.split("\n", 1)[0] ?? "", line: error.line, column: error.column };
    }
  },
  properties: (value) => propertyProblem(value) ?? unsound(readProperties(value)),
};

/** Parsers silently keep one of two equal members, and not all keep the same one. */
function doubled(value: string): Found {
  const found = doubleMember(value, NESTING_MAX + 1);
  if (!found) return undefined;
  return {
    message: `the member "${found.name}" appears twice in one object; remove one`,
    ...place(value, found.offset),
  };
}

function place(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split("\n");
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}
