/**
 * One canonical path for matching, access rules, upstream and log. When two components read a path differently, clients
 * can bypass a gateway's rules (Envoy, Traefik and APISIX each had such a defect), so ambiguous paths are rejected.
 *
 * Canonical: starts with one slash; has no empty and no `.` segments; unreserved characters are not encoded; everything
 * outside RFC 3986's pchar is percent-encoded in upper case. Rejected: a `..` segment in any encoding, an encoded slash,
 * backslash or NUL, a backslash, broken percent-encoding, and double encoding whose second decoding would change the
 * segments.
 */

/** Longest path and query, in characters. Other gateways have similar limits. */
const TARGET_CHARS_MAX = 16 * 1024;

const UNRESERVED = /[A-Za-z0-9\-._~]/;
/** The characters of pchar except the percent sign, and the slash. */
const PLAIN = /^[A-Za-z0-9\-._~!$&'()*+,;=:@/]*$/;
const PCHAR = /[A-Za-z0-9\-._~!$&'()*+,;=:@]/;

export type PathResult =
  | { readonly ok: true; readonly path: string; readonly query: string }
  | { readonly ok: false; readonly reason: string };

const refuse = (reason: string) => ({ ok: false, reason }) as const;

/**
 * Splits a request target in origin form into its canonical path and its raw query (with the question mark, or empty).
 * Idempotent: a canonical path is its own canonical path.
 */
export function canonicalTarget(target: string): PathResult {
  const read = splitTarget(target);
  if (!read.ok) return read;
  const path = canonicalPath(read.raw);
  return path.ok ? { ok: true, path: path.path, query: read.query } : path;
}

/** Splits a target in origin form into path and query. */
function splitTarget(target: string): { ok: true; raw: string; query: string } | { ok: false; reason: string } {
  if (target.length > TARGET_CHARS_MAX) return refuse(`The target is longer than ${TARGET_CHARS_MAX} characters.`);
  const mark = target.indexOf("?");
  const raw = mark < 0 ? target : target.slice(0, mark);
  const query = mark < 0 ? "" : target.slice(mark);
  if (!raw.startsWith("/")) return refuse("The path does not start with a slash.");
  if (raw.includes("#") || query.includes("#")) return refuse("The target has a fragment.");
  // Node's parser rejects these; other lanes must do the same.
  for (let i = 0; i < query.length; i++) {
    const code = query.charCodeAt(i);
    if (code <= 0x20 || code === 0x7f || code > 0xff) return refuse("The query has a character that must be encoded.");
  }
  return { ok: true, raw, query };
}

/** A request's path in canonical form, and the parts that services interpret differently. */
export interface ReadPath {
  /** For matching: canonical, without path parameters, since many services ignore them. */
  readonly path: string;
  /** For the upstream: canonical, with its path parameters. */
  readonly written: string;
  readonly query: string;
  /** Parts that only a route can allow; see core/decision/path-rules.ts. */
  readonly doubts: readonly PathDoubt[];
}

/** `encodedSlash`: `%2F`, which some services read as a slash. `parameters`: `;x` before the last segment, which some ignore. */
export type PathDoubt = "encodedSlash" | "parameters";

const NO_DOUBTS: readonly PathDoubt[] = [];
/** A path parameter, from its semicolon on. */
const PARAMETER = /(?:;|%3B).*$/i;

/** Like `canonicalTarget`, but returns the parts that a route may allow instead of rejecting them for all routes. */
export function readTarget(target: string): ({ readonly ok: true } & ReadPath) | { ok: false; reason: string } {
  const read = splitTarget(target);
  if (!read.ok) return read;
  const { raw, query } = read;
  const canonical = canonicalPath(raw, true);
  if (!canonical.ok) return canonical;
  const written = canonical.path;
  if (!/;|%3B|%2F/i.test(written)) return { ok: true, path: written, written, query, doubts: NO_DOUBTS };
  const doubts: PathDoubt[] = written.includes("%2F") ? ["encodedSlash"] : [];
  const segments = written.slice(1).split("/");
  for (const piece of segments.flatMap((segment) => segment.split("%2F"))) {
    const bare = piece.replace(PARAMETER, "");
    // Without the parameter, or with the slash decoded, this would be another path.
    if (bare === "." || bare === ".." || (bare === "" && piece !== "")) return dotted;
  }
  if (doubts.length > 0 && segments.some((segment) => /^%2F|%2F$|%2F%2F|(?:^|%2F)\.{1,2}(?:%2F|$)/.test(segment))) {
    return dotted;
  }
  const bare = segments.map((segment) =>
    segment
      .split("%2F")
      .map((piece) => piece.replace(PARAMETER, ""))
      .join("%2F"),
  );
  if (segments.some((segment, at) => at < segments.length - 1 && segment !== bare[at])) doubts.push("parameters");
  return { ok: true, path: `/${bare.join("/")}`, written, query, doubts };
}

const dotted = {
  ok: false,
  reason: "The path has a segment that some services read as `..`, as `.` or as empty.",
} as const;

function canonicalPath(raw: string, keepSlashes = false): { ok: true; path: string } | { ok: false; reason: string } {
  // Almost every path is plain already.
  if (PLAIN.test(raw) && !raw.includes("//") && !raw.includes("/.")) return { ok: true, path: raw };
  const decoded = encodeOnce(raw, keepSlashes);
  if (!decoded.ok) return decoded;
  const segments: string[] = [];
  const parts = decoded.path.split("/");
  for (const [index, segment] of parts.entries()) {
    // Java servers drop what follows a semicolon, so `..;x` is `..` to them.
    if (segment === ".." || segment.startsWith("..;") || segment.startsWith(".;")) {
      return { ok: false, reason: "The path has a `..` segment." };
    }
    const last = index === parts.length - 1;
    if (segment === "" || segment === ".") {
      // A path that ends in a slash or a dot names a folder, so it keeps a trailing slash.
      if (last && segments.length > 0) segments.push("");
      continue;
    }
    segments.push(segment);
  }
  return { ok: true, path: `/${segments.join("/")}` };
}

/** Normalizes the percent-encoding. Rejects text that a second decoding would read differently. */
function encodeOnce(raw: string, keepSlashes: boolean): { ok: true; path: string } | { ok: false; reason: string } {
  let path = "";
  for (let i = 0; i < raw.length; i++) {
    const char = raw[i] as string;
    const code = raw.charCodeAt(i);
    if (char === "\\") return { ok: false, reason: "The path has a backslash." };
    if (code === 0) return { ok: false, reason: "The path has a NUL." };
    if (char === "%") {
      const byte = hexByte(raw, i + 1);
      if (byte < 0) return { ok: false, reason: "The path has a broken percent-encoding." };
      if ((byte === 0x2f && !keepSlashes) || byte === 0x5c || byte === 0) {
        return { ok: false, reason: "The path has an encoded slash, backslash or NUL." };
      }
      if (byte === 0x25 && changesSegments(raw, i + 3)) {
        return { ok: false, reason: "The path is encoded twice in a way that changes its segments." };
      }
      const plain = String.fromCharCode(byte);
      path += UNRESERVED.test(plain) ? plain : `%${raw.slice(i + 1, i + 3).toUpperCase()}`;
      i += 2;
    } else if (char === "/" || PCHAR.test(char)) {
      path += char;
    } else if (code > 0xff) {
      return { ok: false, reason: "The path has a character that must be encoded." };
    } else {
      path += `%${code.toString(16).toUpperCase().padStart(2, "0")}`;
    }
  }
  if (OVERLONG.test(path)) return { ok: false, reason: "The path has an overlong encoding of a character." };
  return { ok: true, path };
}

/** Overlong UTF-8, which uses more bytes than a character needs. Some decoders accept it. */
const OVERLONG = /%C[01]|%E0%[89]|%F0%8/;

/**
 * Whether the text after an encoded percent sign, decoded again, becomes a character of a name, a separator or another
 * percent sign: `%25` `2e`. A server that decodes twice would read such a path differently. Text that could only become a
 * space or the like is allowed.
 */
function changesSegments(raw: string, at: number): boolean {
  const byte = hexByte(raw, at);
  if (byte < 0) return false;
  const char = String.fromCharCode(byte);
  return byte === 0 || char === "/" || char === "\\" || char === "%" || char === ";" || UNRESERVED.test(char);
}

function hexByte(text: string, at: number): number {
  const pair = text.slice(at, at + 2);
  return /^[0-9A-Fa-f]{2}$/.test(pair) ? Number.parseInt(pair, 16) : -1;
}
