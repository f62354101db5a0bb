/**
 * Texts and fields without their secrets: values of secret names, tokens, private keys, and passwords in URLs. A rule that is in doubt
 * removes too much. A secret without a known form or name is not found.
 */
import { isLineHeader, isSecretName } from "./secret-names.ts";

const REDACTED = "[redacted]";

const PRIVATE_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g;
/** Tokens of posthouse. A cut one has a part of its secret. */
const OWN_TOKEN = /ph[a-z]?_[\da-f]{16}[\da-f_]*/g;
/** Words with dots between them, such as a host's name or a JSON Web Token. */
const DOTTED = /(?<![\w-])[\w-]+(?:\.[\w-]*)+/g;
/** `{"` in base 64. */
const JWT_START = "eyJ";
/** Characters of the shortest header of a JSON Web Token; in `keyJob.example` it is an accident. */
const JWT_HEADER_MIN = 11;
/** The words that follow in prose, such as "a bearer token", are not secrets. */
const BEARER = /\b(bearer\s+)(?!\[redacted\]|(?:tokens?|auth|authentication|credentials?|scheme)\b)[^\s"'\\,;<>]+/gi;
/** Base 64, which hardly ever has only small letters; prose has. */
const BASIC = /\b((?:basic|Basic|BASIC)\s+)(?=[a-z]*[A-Z\d+/=])[\w+/=-]{4,}/g;
const USER_INFO = /:\/\/[^\s/?#"'<>]*@/g;
/** The code by which a person signs in, in the address of a callback. */
const CODE = /([?&]code=)[^\s&"'#<>]+/g;

/** A name, and what separates it from its value: `a=`, `a: `, `"a":"`, `\"a\":`, `f[a]=`. */
const NAMED = /(?<![\w%.$-])([\w%.$-]+)\\*["']?\]?[ \t]*[=:][ \t]*/g;
const OPENING_QUOTE = /(\\*)(["'])/y;
/** Ends of a value without quotes. An ampersand ends it only before another parameter. */
const WORD = /(?:[^\s&"'<>]|&(?![\w%.[\]-]+=))*/y;
const LINE = /[^\r\n]*/y;
/** A word at the end of its line, as in YAML. */
const LAST_WORD = /[^\s"'<>]+(?=[ \t]*(?:[\r\n]|$))/y;
/** Only white space or a dash is before the name. */
const LINE_START = /(?:^|[\r\n])[ \t]*(?:- )?["']?$/;
/** Characters before a name that are searched for the start of its line; deeper data does not begin there. */
const INDENT_MAX = 64;

/** A sign or a word of at least one rule. Most texts have none, and this one pass is all that they cost. */
const HINT = /[=:]|@|eyJ|ph[a-z]?_|bearer|basic|PRIVATE KEY/i;

/** A text without the secrets in it. */
export function redactedText(text: string): string {
  if (!HINT.test(text)) return text;
  const known = text
    .replaceAll(PRIVATE_KEY, REDACTED)
    .replaceAll(OWN_TOKEN, REDACTED)
    .replaceAll(DOTTED, withoutJwt)
    .replaceAll(BEARER, `$1${REDACTED}`)
    .replaceAll(BASIC, `$1${REDACTED}`)
    .replaceAll(USER_INFO, `://${REDACTED}@`)
    .replaceAll(CODE, `$1${REDACTED}`);
  return withoutNamed(known);
}

/**
 * A member of an object or an array, as `JSON.stringify` visits them, without the secrets in it. Numbers of a plural, such as
 * `secrets: 3`, are counts.
 */
export function redactedMember(name: string, value: unknown): unknown {
  if (isSecretName(name) && isSecretValue(name, value)) return REDACTED;
  if (typeof value === "string") return redactedText(value);
  if (Array.isArray(value)) return withoutHeaderValues(value);
  return typeof value === "object" && value !== null ? withPublicNames(value) : value;
}

function withoutJwt(words: string): string {
  let at = 0;
  for (const part of words.split(".").slice(0, -1)) {
    const start = part.indexOf(JWT_START);
    if (start !== -1 && part.length - start >= JWT_HEADER_MIN) return words.slice(0, at + start) + REDACTED;
    at += part.length + 1;
  }
  return words;
}

function isSecretValue(name: string, value: unknown): boolean {
  if (typeof value === "number" || typeof value === "bigint") return !/s$/i.test(name);
  return typeof value !== "boolean" && value !== null && value !== undefined && value !== "";
}

/** Raw headers alternate between names and values. */
function withoutHeaderValues(items: readonly unknown[]): unknown {
  const isValue = (index: number) => {
    const before = items[index - 1];
    return typeof before === "string" && typeof items[index] === "string" && isHeaderName(before);
  };
  return items.some((_, index) => isValue(index))
    ? items.map((item, index) => (isValue(index) ? REDACTED : item))
    : items;
}

function isHeaderName(text: string): boolean {
  return /^[\w-]+$/.test(text) && isSecretName(text);
}

/** A name can be a secret, too: an object with one member for each token. */
function withPublicNames(value: object): unknown {
  const entries = Object.entries(value);
  if (entries.every(([name]) => redactedText(name) === name)) return value;
  return Object.fromEntries(entries.map(([name, inner]) => [redactedText(name), inner]));
}

/** Removes each value that a secret name precedes. */
function withoutNamed(text: string): string {
  let result = "";
  let done = 0;
  for (const found of text.matchAll(NAMED)) {
    const [whole, name = ""] = found;
    const start = found.index + whole.length;
    if (found.index < done || !isSecretName(name)) continue;
    const [from, to] = valueRange(text, { name, start, separator: whole.slice(name.length), at: found.index });
    if (to <= from || text.startsWith(REDACTED, from)) continue;
    result += text.slice(done, from) + REDACTED;
    done = to;
  }
  return result + text.slice(done);
}

interface Named {
  readonly name: string;
  readonly separator: string;
  /** Where the name begins. */
  readonly at: number;
  /** Where the value, or its quote, begins. */
  readonly start: number;
}

function valueRange(text: string, { name, separator, at, start }: Named): readonly [number, number] {
  OPENING_QUOTE.lastIndex = start;
  const [opening, slashes = "", quote = ""] = OPENING_QUOTE.exec(text) ?? [];
  if (opening !== undefined) {
    const from = start + opening.length;
    return [from, closingQuote(text, { from, quote, slashes: slashes.length })];
  }
  const isData = /^[[{]/.test(text.slice(start, start + 1));
  const isYaml = /:[ \t]/.test(separator);
  if (isData || isLineHeader(name) || (isYaml && LINE_START.test(text.slice(Math.max(0, at - INDENT_MAX), at)))) {
    return [start, endOf(LINE, text, start)];
  }
  return [start, endOf(isYaml ? LAST_WORD : WORD, text, start)];
}

/** The next quote that is escaped as often as the opening one, or the end of the text. */
function closingQuote(
  text: string,
  { from, quote, slashes }: { readonly from: number; readonly quote: string; readonly slashes: number },
): number {
  let before = 0;
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") before++;
    else {
      if (text[at] === quote && (slashes === 0 ? before % 2 === 0 : before === slashes)) return at - slashes;
      before = 0;
    }
  }
  return text.length;
}

function endOf(pattern: RegExp, text: string, start: number): number {
  pattern.lastIndex = start;
  return pattern.test(text) ? pattern.lastIndex : start;
}
