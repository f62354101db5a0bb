/**
 * The YAML of a policy: written from its value, and read back. A policy has only lists, maps and texts, so this reads the block and flow
 * forms of these and says where something else begins; the server checks the rest. Pure.
 */
import type { PolicyRule } from "#authorization/api";

export interface PolicyValue {
  readonly description?: string | undefined;
  readonly rules: readonly PolicyRule[];
}

export type Tree = string | readonly Tree[] | { readonly [name: string]: Tree };

/** A place in the text that cannot be read. */
export class PolicyTextError extends Error {
  readonly line: number;

  constructor(line: number, message: string) {
    super(message);
    this.name = "PolicyTextError";
    this.line = line;
  }
}

export function policyYaml({ description, rules }: PolicyValue): string {
  const lines = description === undefined ? [] : [`description: ${scalar(description)}`];
  lines.push("rules:");
  for (const { effect, actions, on } of rules) {
    lines.push(`  - effect: ${effect}`, `    actions: ${listOf(actions)}`);
    if (!on) continue;
    lines.push("    on:");
    for (const [field, values] of Object.entries(on)) lines.push(`      ${field}: ${listOf(values)}`);
  }
  return `${lines.join("\n")}\n`;
}

function listOf(values: readonly string[]): string {
  return `[${values.map(scalar).join(", ")}]`;
}

/** Bare where YAML reads it as this text: no sign at the beginning, no word that is a number or a boolean. */
function scalar(text: string): string {
  const isBare = /^[A-Za-z][\w./-]*(:[\w*.-]+)?$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text);
  return isBare ? text : JSON.stringify(text);
}

interface Line {
  readonly number: number;
  readonly indent: number;
  readonly text: string;
}

/** @throws PolicyTextError */
export function readPolicyYaml(text: string): Tree {
  const lines = text.split("\n").flatMap((raw, index): Line[] => {
    if (raw.includes("\t")) throw new PolicyTextError(index + 1, "Indent with spaces, not with tabs.");
    const bare = withoutComment(raw).trimEnd();
    if (bare.trim() === "" || bare === "---") return [];
    return [{ number: index + 1, indent: bare.length - bare.trimStart().length, text: bare.trim() }];
  });
  if (lines.length === 0) return {};
  const reader = new BlockReader(lines);
  return reader.all();
}

/** A `#` after a space, outside of quotes, begins a comment. */
function withoutComment(line: string): string {
  let quote = "";
  for (let at = 0; at < line.length; at++) {
    const char = line[at] ?? "";
    if (quote !== "") {
      if (char === "\\" && quote === '"') at++;
      else if (char === quote) quote = "";
    } else if ((char === '"' || char === "'") && /^$|[\s[{,:-]/.test(line[at - 1] ?? "")) quote = char;
    else if (char === "#" && /^$|\s/.test(line[at - 1] ?? "")) return line.slice(0, at);
  }
  return line;
}

const PAIR = /^("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s"'[\]{},#&*!|>%@`-][^\s:]*)\s*:(?:\s+(.*))?$/;

class BlockReader {
  readonly #lines: Line[];
  #at = 0;

  constructor(lines: readonly Line[]) {
    this.#lines = [...lines];
  }

  all(): Tree {
    const value = this.#block(this.#lines[0]?.indent ?? 0);
    const rest = this.#lines[this.#at];
    if (rest) throw new PolicyTextError(rest.number, "The indentation does not fit the lines above.");
    return value;
  }

  #block(indent: number): Tree {
    const line = this.#lines[this.#at] as Line;
    if (/^-(\s|$)/.test(line.text)) return this.#list(indent);
    return PAIR.test(line.text) ? this.#map(indent) : this.#value();
  }

  #next(): Line {
    return this.#lines[this.#at++] as Line;
  }

  #list(indent: number): readonly Tree[] {
    const items: Tree[] = [];
    for (let line = this.#lines[this.#at]; line?.indent === indent && /^-(\s|$)/.test(line.text);) {
      const rest = line.text.slice(1).trimStart();
      if (rest === "") {
        this.#at++;
        items.push(this.#inner(indent, line.number));
      } else {
        // The item begins on the line of its dash: read it as a line of its own.
        const inner = indent + line.text.length - rest.length;
        this.#lines[this.#at] = { ...line, indent: inner, text: rest };
        items.push(this.#block(inner));
      }
      line = this.#lines[this.#at];
    }
    return items;
  }

  #map(indent: number): Tree {
    const map: Record<string, Tree> = Object.create(null) as Record<string, Tree>;
    for (let line = this.#lines[this.#at]; line?.indent === indent; line = this.#lines[this.#at]) {
      const [, name = "", rest = ""] = PAIR.exec(line.text) ?? [];
      if (name === "") throw new PolicyTextError(line.number, 'Expected a field, such as "effect: allow".');
      const key = flowText(name, line.number);
      if (key in map) throw new PolicyTextError(line.number, `The field "${key}" is there twice.`);
      if (rest === "") {
        this.#at++;
        map[key] = this.#inner(indent, line.number);
      } else {
        this.#lines[this.#at] = { ...line, indent: indent + 1, text: rest };
        map[key] = this.#value();
      }
    }
    return map;
  }

  /** A list or a map in brackets, or a text. */
  #value(): Tree {
    const line = this.#next();
    let { text } = line;
    // Brackets may be closed on a later line.
    while (/^[[{]/.test(text) && !isClosed(text) && this.#lines[this.#at]) text += ` ${this.#next().text}`;
    return flowValue(text, line.number);
  }

  /** A block below its name. A list may be as far left as its name. */
  #inner(indent: number, number: number): Tree {
    const line = this.#lines[this.#at];
    const isList = line?.indent === indent && /^-(\s|$)/.test(line.text);
    if (!line || (line.indent <= indent && !isList)) throw new PolicyTextError(number, "The value is missing.");
    return this.#block(line.indent);
  }
}

/** Parts of a text in brackets: signs, texts in quotes, other texts. */
const TOKEN = /\s*([[\]{},]|"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|:(?=\s)|(?:[^\s[\]{},:]|:(?!\s)|\s(?=[^\s[\]{},:#]))+)/y;

function isClosed(text: string): boolean {
  let depth = 0;
  for (const [, token = ""] of text.matchAll(new RegExp(TOKEN.source, "g"))) {
    if (token === "[" || token === "{") depth++;
    if (token === "]" || token === "}") depth--;
  }
  return depth <= 0;
}

function flowValue(text: string, line: number): Tree {
  if (!/^[[{]/.test(text)) return flowText(text, line);
  const tokens = tokensOf(text, line);
  let at = 0;
  const fail = () => new PolicyTextError(line, "The list in brackets does not end as it should.");
  const read = (): Tree => {
    const token = tokens[at++];
    if (token === undefined) throw fail();
    if (token === "[") {
      const items: Tree[] = [];
      while (tokens[at] !== "]") {
        items.push(read());
        if (tokens[at] === ",") at++;
        else if (tokens[at] !== "]") throw fail();
      }
      at++;
      return items;
    }
    if (token !== "{") return flowText(token, line);
    const map: Record<string, Tree> = Object.create(null) as Record<string, Tree>;
    while (tokens[at] !== "}") {
      const name = flowText(tokens[at++] ?? "", line);
      if (tokens[at++] !== ":") throw fail();
      map[name] = read();
      if (tokens[at] === ",") at++;
      else if (tokens[at] !== "}") throw fail();
    }
    at++;
    return map;
  };
  const value = read();
  if (at < tokens.length) throw fail();
  return value;
}

function tokensOf(text: string, line: number): readonly string[] {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const from = TOKEN.lastIndex;
    const found = TOKEN.exec(text);
    if (!found) throw new PolicyTextError(line, `"${text.slice(from, from + 20)}" cannot be read here.`);
    tokens.push(found[1] ?? "");
  }
  return tokens;
}

function flowText(text: string, line: number): string {
  if (text.startsWith('"')) {
    try {
      return JSON.parse(text) as string;
    } catch {
      throw new PolicyTextError(line, `${text.slice(0, 40)} is not a text in quotes.`);
    }
  }
  if (text.startsWith("'")) {
    if (text.length < 2 || !text.endsWith("'")) throw new PolicyTextError(line, "The quote does not end.");
    return text.slice(1, -1).replaceAll("''", "'");
  }
  if (/^[&*!|>%@`,\]}]/.test(text)) {
    throw new PolicyTextError(line, `Put ${text.slice(0, 40)} into quotes: it begins with a sign of YAML.`);
  }
  return text;
}
