/** JSON to bytes and back, and one canonical text for the same content whatever the order of its members. */
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

export function encodeJson(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

/** @throws SyntaxError or TypeError when the bytes are not JSON in UTF-8. */
export function decodeJson<T>(bytes: Uint8Array): T {
  return JSON.parse(decoder.decode(bytes)) as T;
}

/** Depth of lists and objects: far more than a handwritten document has. */
export const JSON_DEPTH_MAX = 64;
/** Values in one document. Parsing that many takes some tens of milliseconds at most. */
export const JSON_PARTS_MAX = 200_000;

export interface JsonBounds {
  readonly depthMax?: number;
  readonly partsMax?: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;

/**
 * Why a JSON text costs too much to parse, as the end of a sentence about it; undefined when it may be parsed. Reads each byte
 * once, needs no memory, and skips strings. Says nothing about whether the text is JSON.
 */
export function jsonShapeProblem(
  bytes: Uint8Array,
  { depthMax = JSON_DEPTH_MAX, partsMax = JSON_PARTS_MAX }: JsonBounds = {},
): string | undefined {
  let depth = 0;
  let parts = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) {
      at = endOfString(bytes, at);
      continue;
    }
    // "[" and "{" differ in one bit, and so do "]" and "}".
    const bracket = byte & ~0x20;
    if (bracket === 0x5b) {
      if (++depth > depthMax) return `has lists and objects nested more than ${depthMax} deep`;
      parts++;
    } else if (bracket === 0x5d) depth--;
    else if (byte === COMMA) parts++;
    if (parts > partsMax) return `has more than ${partsMax} values`;
  }
  return undefined;
}

/** The index of the quote that ends a string; the last index when none does. */
function endOfString(bytes: Uint8Array, start: number): number {
  for (let end = bytes.indexOf(QUOTE, start + 1); end !== -1; end = bytes.indexOf(QUOTE, end + 1)) {
    let slashes = 0;
    while (bytes[end - 1 - slashes] === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return end;
  }
  return bytes.length;
}

/** JSON with the members of every object in code-unit order: equal content, equal text, equal hash. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
