/** Whether a value is what its format says, with line and column where not, and of a size that is told. */
import { hasLoneSurrogate, jsonShapeProblem } from "#base";
import { type ParseError, parseTree } from "jsonc-parser";
import { TomlError } from "smol-toml";
import { LineCounter, parseDocument } from "yaml";
import { VALUE_BYTES_MAX, type Item, type Items, type ReleaseProblem } from "../api.ts";
import { dataOf, nestsTooDeep, NESTING_MAX, readValue, YAML_OPTIONS } from "#base/formats";
import { doubleMember, readPlainJson } from "#base/plain-json";
import { propertyProblem, readProperties } from "#base/properties";

/** All that is wrong with the size and the syntax of values, in order of key. */
export function checkSyntax(items: Items): ReleaseProblem[] {
  const problems: ReleaseProblem[] = [];
  for (const [key, item] of Object.entries(items).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const bytes = bytesOf(item);
    const problem =
      bytes > VALUE_BYTES_MAX
        ? { message: `it is ${bytes} bytes, ${VALUE_BYTES_MAX} are the most` }
        : (lfsPointer(item) ?? CHECKS[item.format](item.value));
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

const NO_UNICODE = {
  message: "a text in it is not Unicode: half of a surrogate pair stands alone; remove it, or write both halves",
};

/** What is wrong with data whatever its format: too deep, or with a text that no file can hold. */
function unsound(data: unknown): Found {
  if (nestsTooDeep(data)) return TOO_DEEP;
  return hasLoneSurrogate(data) ? NO_UNICODE : undefined;
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

/** @see https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md */
const LFS_POINTER =
  /^version https:\/\/git-lfs\.github\.com\/spec\/v\d+\n(?:[a-z0-9.-]+ [^\n]+\n)*oid [a-z0-9]+:[0-9a-f]+\nsize \d+\n?$/;
const LFS_POINTER_BYTES_MAX = 1024;
export const LFS_POINTER_MESSAGE = "is a pointer of Git LFS and not the file; keep config in git itself";

/** Whether a file is what git keeps in the place of a large one. A text that only begins like that is a text. */
export function isLfsPointer(bytes: Uint8Array): boolean {
  return bytes.length <= LFS_POINTER_BYTES_MAX && LFS_POINTER.test(Buffer.from(bytes).toString("latin1"));
}

function lfsPointer({ format, value }: Pick<Item, "format" | "value">): Found {
  // Base64 is a third longer than what it stands for.
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

/** Parsers keep the last of two members in silence, and not all of them the same one. */
function doubled(value: string): Found {
  const found = doubleMember(value, NESTING_MAX + 1);
  if (!found) return undefined;
  return { message: `the member "${found.name}" comes twice in one object; remove one`, ...place(value, found.offset) };
}

function place(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split("\n");
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}
