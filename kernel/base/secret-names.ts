/** Names whose values are secrets: headers, fields, settings and query parameters. */

/** Anywhere in a name. */
const SECRET_PART = /authorization|cookie|passw(?:or)?d|passphrase|apikey|privatekey|secret|credential|idtoken/;
/** At the end of a name: `tokenTtl` and `accessKeyId` are public. */
const SECRET_END = /(?:tokens?|pwd|jwt|accesskey|sessionid|signature)$/;
/** A property of a secret that is public, such as the file that contains it. */
const PUBLIC_END = /(?:file|path|name|url|at|ms|seconds|ttl|count|type|kind|policy|length|endpoint)s?$/;
/** Headers whose whole line is their value. */
const LINE_HEADER = /authorization$|cookie$/;

/** Letters only, in lower case: `x-api-key`, `X_API_KEY`, `xApiKey2` and `x%2Dapi-key` are the same name. */
function lettersOf(name: string): string {
  let decoded = name;
  try {
    if (name.includes("%")) decoded = decodeURIComponent(name);
  } catch {
    // Not an encoded name.
  }
  return decoded.toLowerCase().replaceAll(/[^a-z]/g, "");
}

/** Names whose kind is kept, because the same few are in most lines; a caller's names replace them at worst. */
const KNOWN_MAX = 1_000;
/** Characters of a name that is kept. */
const KNOWN_CHARS_MAX = 64;
const known = new Map<string, boolean>();

export function isSecretName(name: string): boolean {
  const before = known.get(name);
  if (before !== undefined) return before;
  const letters = lettersOf(name);
  const isSecret = SECRET_END.test(letters) || (SECRET_PART.test(letters) && !PUBLIC_END.test(letters));
  if (known.size >= KNOWN_MAX) known.clear();
  if (name.length <= KNOWN_CHARS_MAX) known.set(name, isSecret);
  return isSecret;
}

/** Whether a name is that of a header whose value has spaces and commas. */
export function isLineHeader(name: string): boolean {
  return LINE_HEADER.test(lettersOf(name));
}
