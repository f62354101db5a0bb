/**
 * Filter expressions over instances: a text becomes a predicate, or an error with its position. The parser is a recursive
 * descent, so its cost is linear in the length of the expression.
 *
 *     or   = and { "or" and }        and = not { "and" not }        not = [ "not" ] ( "(" or ")" | test )
 *     test = value "in" field | field ("==" | "!=" | "startswith") value | field "is" ["not"] "empty"
 */
import { own } from "#base";
import { RegistryErrors, type Instance } from "../api.ts";

export type Predicate = (instance: Instance) => boolean;

/** Nested parentheses and `not`s. No filter written by hand is deeper. */
export const FILTER_DEPTH_MAX = 32;

interface Token {
  readonly kind: "word" | "text" | "symbol" | "end";
  readonly text: string;
  readonly at: number;
}

const TOKEN = /\s*(?:"((?:[^"\\]|\\["\\])*)"|([A-Za-z0-9_./:@-]+)|(==|!=|\(|\)))/y;

const FIELDS: Readonly<Record<string, (instance: Instance) => string>> = {
  id: ({ id }) => id,
  address: ({ address }) => address,
  port: ({ port }) => String(port),
  protocol: ({ protocol }) => protocol,
  weight: ({ weight }) => String(weight),
  version: ({ version = "" }) => version,
  zone: ({ zone = "" }) => zone,
  owner: ({ owner = "" }) => owner,
  status: ({ status }) => status,
  lifecycle: ({ lifecycle }) => lifecycle,
};
const LISTS: Readonly<Record<string, (instance: Instance) => readonly string[]>> = {
  tags: ({ tags }) => tags,
  ports: ({ ports }) => ports.map(({ name }) => name),
};
const METADATA = "metadata.";

/** `field`: where the filter was given. @throws REGISTRY_FILTER_INVALID, naming the character of the mistake */
export function parseFilter(source: string, field = "/filter"): Predicate {
  return new Parser(source, field).parse();
}

class Parser {
  readonly #source: string;
  readonly #field: string;
  #token: Token;
  #depth = 0;

  constructor(source: string, field: string) {
    this.#source = source;
    this.#field = field;
    this.#token = this.#read(0);
  }

  parse(): Predicate {
    const predicate = this.#or();
    if (this.#token.kind !== "end") throw this.#wrong('"and", "or" or the end');
    return predicate;
  }

  #or(): Predicate {
    const parts = [this.#and()];
    while (this.#takeWord("or")) parts.push(this.#and());
    return parts.length === 1 ? (parts[0] as Predicate) : (instance) => parts.some((part) => part(instance));
  }

  #and(): Predicate {
    const parts = [this.#not()];
    while (this.#takeWord("and")) parts.push(this.#not());
    return parts.length === 1 ? (parts[0] as Predicate) : (instance) => parts.every((part) => part(instance));
  }

  #not(): Predicate {
    if (++this.#depth > FILTER_DEPTH_MAX) throw this.#wrong(`at most ${FILTER_DEPTH_MAX} levels`);
    try {
      if (this.#takeWord("not")) {
        const inner = this.#not();
        return (instance) => !inner(instance);
      }
      if (this.#takeSymbol("(")) {
        const inner = this.#or();
        if (!this.#takeSymbol(")")) throw this.#wrong('")"');
        return inner;
      }
      return this.#test();
    } finally {
      this.#depth--;
    }
  }

  #test(): Predicate {
    const first = this.#next("a field or a value");
    if (this.#takeWord("in")) {
      const list = this.#listOf(this.#next("tags or ports"));
      return (instance) => list(instance).includes(first.text);
    }
    if (first.kind === "text") throw this.#wrong('"in"');
    if (this.#takeWord("is")) {
      const negated = this.#takeWord("not");
      if (!this.#takeWord("empty")) throw this.#wrong('"empty"');
      const isEmpty = this.#emptiness(first);
      return (instance) => isEmpty(instance) !== negated;
    }
    const field = this.#fieldOf(first);
    if (this.#takeWord("startswith")) {
      const { text } = this.#next("a value");
      return (instance) => field(instance).startsWith(text);
    }
    const equal = this.#takeSymbol("==");
    if (!equal && !this.#takeSymbol("!=")) throw this.#wrong('"==", "!=", "startswith", "in" or "is"');
    const { text } = this.#next("a value");
    return (instance) => (field(instance) === text) === equal;
  }

  #fieldOf({ text, at }: Token): (instance: Instance) => string {
    if (text.startsWith(METADATA) && text.length > METADATA.length) {
      const key = text.slice(METADATA.length);
      return ({ metadata }) => own(metadata, key) ?? "";
    }
    const field = own(FIELDS, text);
    if (field) return field;
    const known = [...Object.keys(FIELDS), "metadata.KEY"].join(", ");
    throw this.#error(
      at,
      `"${text}" is not a field; use one of ${known}, or the lists ${Object.keys(LISTS).join(", ")}`,
    );
  }

  #listOf({ text, at }: Token): (instance: Instance) => readonly string[] {
    const list = own(LISTS, text);
    if (list) return list;
    throw this.#error(at, `"${text}" is not a list; use one of ${Object.keys(LISTS).join(", ")}`);
  }

  #emptiness(token: Token): Predicate {
    const list = own(LISTS, token.text);
    if (list) return (instance) => list(instance).length === 0;
    if (token.text === "metadata") return ({ metadata }) => Object.keys(metadata).length === 0;
    const field = this.#fieldOf(token);
    return (instance) => field(instance) === "";
  }

  #next(wanted: string): Token {
    const token = this.#token;
    if (token.kind !== "word" && token.kind !== "text") throw this.#wrong(wanted);
    this.#advance();
    return token;
  }

  #takeWord(word: string): boolean {
    if (this.#token.kind !== "word" || this.#token.text !== word) return false;
    this.#advance();
    return true;
  }

  #takeSymbol(symbol: string): boolean {
    if (this.#token.kind !== "symbol" || this.#token.text !== symbol) return false;
    this.#advance();
    return true;
  }

  #advance(): void {
    this.#token = this.#read(TOKEN.lastIndex);
  }

  #read(from: number): Token {
    TOKEN.lastIndex = from;
    const match = TOKEN.exec(this.#source);
    if (!match) {
      TOKEN.lastIndex = this.#source.length;
      const at = from + (/^\s*/.exec(this.#source.slice(from))?.[0].length ?? 0);
      if (at < this.#source.length) {
        throw this.#error(at, "expected a word, a quoted string, ==, != or a parenthesis");
      }
      return { kind: "end", text: "", at };
    }
    const [whole, text, word, symbol] = match;
    const at = from + whole.length - whole.trimStart().length;
    if (text !== undefined) return { kind: "text", text: text.replaceAll(/\\(["\\])/g, "$1"), at };
    return word === undefined ? { kind: "symbol", text: symbol as string, at } : { kind: "word", text: word, at };
  }

  #wrong(wanted: string): Error {
    const found = this.#token.kind === "end" ? "found the end" : `found "${this.#token.text}"`;
    return this.#error(this.#token.at, `expected ${wanted}, ${found}`);
  }

  #error(at: number, what: string): Error {
    return RegistryErrors.FILTER_INVALID(`Filter, character ${at + 1}: ${what}.`, {
      extra: { field: this.#field, character: at + 1 },
    });
  }
}
