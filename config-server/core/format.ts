/** Checks values against their format and size. Problems have a line and a column. */
import { VALUE_BYTES_MAX, type Item, type Items, type ReleaseProblem } from "../api.ts";
import { FORMATS } from "./formats/mod.ts";
import type { FormatProblem } from "./formats/value-format.ts";

/** All problems with the size and the syntax of values, in order of key. */
export function checkSyntax(items: Items): ReleaseProblem[] {
  const problems: ReleaseProblem[] = [];
  for (const [key, item] of Object.entries(items).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const bytes = bytesOf(item);
    const problem =
      bytes > VALUE_BYTES_MAX
        ? { message: `it is ${bytes} bytes; at most ${VALUE_BYTES_MAX} are allowed` }
        : (lfsPointer(item) ?? FORMATS[item.format].check(item.value));
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

/** @see https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md */
const LFS_POINTER =
  /^version https:\/\/git-lfs\.github\.com\/spec\/v\d+\n(?:[a-z0-9.-]+ [^\n]+\n)*oid [a-z0-9]+:[0-9a-f]+\nsize \d+\n?$/;
const LFS_POINTER_BYTES_MAX = 1024;
export const LFS_POINTER_MESSAGE = "is a Git LFS pointer, not the file; store config in git itself";

/** Whether a file is a pointer that git stores in place of a large file. A text that only begins like one is a text. */
export function isLfsPointer(bytes: Uint8Array): boolean {
  return bytes.length <= LFS_POINTER_BYTES_MAX && LFS_POINTER.test(Buffer.from(bytes).toString("latin1"));
}

function lfsPointer({ format, value }: Pick<Item, "format" | "value">): FormatProblem | undefined {
  // Base64 is a third longer than its bytes.
  if (value.length > 2 * LFS_POINTER_BYTES_MAX) return undefined;
  return isLfsPointer(Buffer.from(value, format === "binary" ? "base64" : "utf8"))
    ? { message: LFS_POINTER_MESSAGE }
    : undefined;
}
