/**
 * The places and spellings of the values in a TOML text, which the parser does not keep. The text is known to be valid, so the scanner
 * needs only the grammar's skeleton.
 */
import { parse } from "smol-toml";
import { exactNumber, Literal } from "../literal.ts";
import { own, setOwn } from "../own.ts";

/** A string of the text: its quotes are part of the range. */
export interface TomlString {
  readonly start: number;
  readonly end: number;
  readonly value: string;
}

export interface TomlSource {
  /** The data. Scalars other than strings are Literals. */
  readonly tree: Readonly<Record<string, unknown>>;
  /** Strings that are values, not names, in the order of the text. */
  readonly strings: readonly TomlString[];
}

type Table = Record<string, unknown>;

/** @throws TomlError when the text is not valid */
export function readTomlSource(text: string): TomlSource {
  parse(text, { integersAsBigInt: "asNeeded" });
  return new Scanner(text).scan();
}

/** The value of one text. */
export function tomlValue(source: string): unknown {
  return parse(`v = ${source}`, { integersAsBigInt: "asNeeded" })["v"];
}

class Scanner {
  readonly #text: string;
  readonly #strings: TomlString[] = [];
  #at: number;

  constructor(text: string) {
    this.#text = text;
    this.#at = text.startsWith("\uFEFF") ? 1 : 0;
  }

  scan(): TomlSource {
    const tree: Table = {};
    let table = tree;
    for (this.#skip(); this.#at < this.#text.length; this.#skip()) {
      if (this.#text.startsWith("[[", this.#at)) {
        this.#at += 2;
        table = appended(tree, this.#path());
        this.#at += 2;
      } else if (this.#text[this.#at] === "[") {
        this.#at++;
        table = descend(tree, this.#path());
        this.#at++;
      } else this.#pair(table);
    }
    return { tree, strings: this.#strings };
  }

  /** Blanks, line ends, commas and comments. */
  #skip(): void {
    const blank = /(?:[\s,]|#[^\n]*)*/y;
    blank.lastIndex = this.#at;
    blank.exec(this.#text);
    this.#at = blank.lastIndex;
  }

  #pair(table: Table): void {
    const path = this.#path();
    this.#at++;
    this.#skip();
    const name = path.pop() as string;
    setOwn(descend(table, path), name, this.#value());
  }

  /** Reads a dotted key and the blanks after it, up to "=" or "]". */
  #path(): string[] {
    const path: string[] = [];
    for (;;) {
      this.#skip();
      const quoted = this.#text[this.#at] === '"' || this.#text[this.#at] === "'";
      const source = quoted ? this.#quoted() : this.#take(/[A-Za-z0-9_-]*/y);
      path.push(quoted ? (tomlValue(source) as string) : source);
      this.#skip();
      if (this.#text[this.#at] !== ".") return path;
      this.#at++;
    }
  }

  #value(): unknown {
    const start = this.#at;
    const char = this.#text[start];
    if (char === '"' || char === "'") {
      const value = tomlValue(this.#quoted()) as string;
      this.#strings.push({ start, end: this.#at, value });
      return value;
    }
    if (char === "[") return this.#list();
    if (char === "{") return this.#inline();
    const source = this.#take(/[^,\]}#\n\r]*/y).trimEnd();
    const value = tomlValue(source) as number | bigint | boolean | Date;
    return new Literal(source, typeof value === "number" ? exactNumber(source, value) : value, "toml");
  }

  #list(): unknown[] {
    const list: unknown[] = [];
    this.#at++;
    for (this.#skip(); this.#text[this.#at] !== "]"; this.#skip()) list.push(this.#value());
    this.#at++;
    return list;
  }

  #inline(): Table {
    const table: Table = {};
    this.#at++;
    for (this.#skip(); this.#text[this.#at] !== "}"; this.#skip()) this.#pair(table);
    this.#at++;
    return table;
  }

  #quoted(): string {
    const quote = this.#text[this.#at] as string;
    const fence = this.#text.startsWith(quote.repeat(3), this.#at) ? quote.repeat(3) : quote;
    const start = this.#at;
    this.#at += fence.length;
    while (!this.#text.startsWith(fence, this.#at)) this.#at += quote === '"' && this.#text[this.#at] === "\\" ? 2 : 1;
    this.#at += fence.length;
    // Up to two more quotes may precede the closing three.
    if (fence.length === 3) while (this.#text[this.#at] === quote) this.#at++;
    return this.#text.slice(start, this.#at);
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const [found = ""] = pattern.exec(this.#text) ?? [];
    this.#at += found.length;
    return found;
  }
}

/** The table at a path; the last one of a list of tables. */
function descend(table: Table, path: readonly string[]): Table {
  let at = table;
  for (const name of path) {
    const known = own(at, name);
    const next = known ?? {};
    if (known === undefined) setOwn(at, name, next);
    at = (Array.isArray(next) ? next.at(-1) : next) as Table;
  }
  return at;
}

function appended(tree: Table, path: readonly string[]): Table {
  const parent = descend(tree, path.slice(0, -1));
  const name = path.at(-1) as string;
  const list = (own(parent, name) ?? []) as Table[];
  const table: Table = {};
  list.push(table);
  setOwn(parent, name, list);
  return table;
}
