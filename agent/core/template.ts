/**
 * Fills in a template from configs. The result is a text, or the first problem with its line. The syntax is Mustache's, with one
 * stricter rule: a name that does not exist is an error, never an empty text.
 *
 * How a name is found: first a key of the set, in full or without its ending (`app.yaml`, `app`), then the path within it. The longest
 * existing name wins, since names may contain dots. A key by itself is its text; with a path, or as a section, it is its data. A name
 * that is not a key is searched at the top level of every key's data, and must be in exactly one of them. The name of another set comes
 * before all of these. A section searches its own data first, then the scopes around it. `{{#name?}}` and `{{^name?}}` allow absence.
 */
import { invariant, messageOf, own } from "#base";
import mustache from "mustache";
import { isTable, Literal, readSource } from "#base/formats";
import { isMasked, type EffectiveConfig, type Escape } from "../api.ts";

/** Characters of a rendered file: nested sections over long lists need a limit. At most 3 MiB as UTF-8. */
export const RENDERED_CHARS_MAX = 1024 * 1024;
/** Tags and iterations of sections for one file: nested lists may produce no text and still take very long. */
export const STEPS_MAX = 200_000;
/** Nested sections, and parts of one name: people write a handful. */
export const DEPTH_MAX = 64;
/** Keys that an error lists, to help find the right one. */
const KEYS_SHOWN = 10;

export interface TemplateInput {
  readonly template: string;
  readonly escape: Escape;
  /** The config whose keys are at the root. */
  readonly config: EffectiveConfig;
  /** Further sets by their names in the template. */
  readonly sets: ReadonlyMap<string, EffectiveConfig>;
}

export type Rendered =
  | { readonly text: string; readonly problem?: undefined }
  | { readonly text?: undefined; readonly problem: { readonly line: number; readonly message: string } };

/** Renders from one whole release of each set. Never throws. */
export function renderTemplate(input: TemplateInput): Rendered {
  try {
    return { text: new Renderer(input).render() };
  } catch (error) {
    if (error instanceof TemplateError)
      return { problem: { line: lineAt(input.template, error.offset), message: error.message } };
    throw error;
  }
}

class TemplateError extends Error {
  readonly offset: number;
  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

type Token = ReturnType<typeof mustache.parse>[number];

class Renderer {
  readonly #input: TemplateInput;
  #length = 0;
  #steps = 0;
  #depth = 0;

  constructor(input: TemplateInput) {
    this.#input = input;
  }

  render(): string {
    const { config, sets, template } = this.#input;
    const text = this.#all(parse(template), [new Root(config, sets)], 0);
    invariant(this.#depth === 0, "every section that was entered is left");
    invariant(this.#length === text.length, "every character of a rendered file is counted");
    return text;
  }

  /** `scopes`: innermost first. `offset`: of the section's tag. */
  #all(tokens: readonly Token[], scopes: readonly unknown[], offset: number): string {
    this.#step(offset);
    if (++this.#depth > DEPTH_MAX) throw new TemplateError(offset, `sections are nested more than ${DEPTH_MAX} deep`);
    const text = tokens.map((token) => this.#one(token, scopes)).join("");
    this.#depth--;
    return text;
  }

  #step(offset: number): void {
    if (++this.#steps > STEPS_MAX)
      throw new TemplateError(offset, `the file would take more than ${STEPS_MAX} steps to fill in`);
  }

  #one(token: Token, scopes: readonly unknown[]): string {
    const [type, name, offset] = token;
    if (type !== "text") this.#step(offset);
    switch (type) {
      case "text":
        return this.#counted(name, offset);
      case "name":
        return this.#counted(this.#variable(name, offset, scopes, this.#input.escape), offset);
      case "&":
        return this.#counted(this.#variable(name, offset, scopes, "none"), offset);
      case "#":
        return this.#section(token, scopes);
      case "^": {
        const value = dataOf(lookUp(name, offset, scopes)?.value, offset);
        return !value || (Array.isArray(value) && value.length === 0) ? this.#all(innerOf(token), scopes, offset) : "";
      }
      case ">":
        throw new TemplateError(
          offset,
          `{{>${name}}} is a partial, which templates do not support; write its content here`,
        );
      case "!":
      case "=":
        return "";
      default:
        throw new TemplateError(offset, `{{${name}}} is not a supported tag`);
    }
  }

  #section(token: Token, scopes: readonly unknown[]): string {
    const [, name, offset] = token;
    const value = dataOf(lookUp(name, offset, scopes)?.value, offset);
    const inner = innerOf(token);
    if (Array.isArray(value)) return value.map((one: unknown) => this.#all(inner, [one, ...scopes], offset)).join("");
    if (!value) return "";
    return this.#all(inner, [value, ...scopes], offset);
  }

  #variable(name: string, offset: number, scopes: readonly unknown[], escape: Escape): string {
    if (name.endsWith("?"))
      throw new TemplateError(offset, `{{${name}}} would be empty when absent; put it into a section {{#${name}}}`);
    const value = lookUp(name, offset, scopes)?.value;
    const plain = value instanceof KeyValue ? value.readableText(offset) : value;
    if (plain === null || plain === undefined) throw new TemplateError(offset, `{{${name}}} is null`);
    if (plain instanceof ConfigSet) throw new TemplateError(offset, `{{${name}}} is a whole set; name one of its keys`);
    if (escape === "json" || escape === "yaml") return asJson(plain, name, offset);
    const text = scalarText(plain);
    if (text === undefined) {
      const kind = Array.isArray(plain) ? "a list" : "a table";
      throw new TemplateError(
        offset,
        `{{${name}}} is ${kind}; name a value in it, use it as a section, or escape as json or yaml`,
      );
    }
    if (escape === "none") return text;
    if (text.includes("\0"))
      throw new TemplateError(offset, `{{${name}}} contains a zero byte, which a shell word cannot have`);
    return `'${text.replaceAll("'", `'\\''`)}'`;
  }

  #counted(text: string, offset: number): string {
    this.#length += text.length;
    if (this.#length > RENDERED_CHARS_MAX) {
      throw new TemplateError(offset, `the file would have more than ${RENDERED_CHARS_MAX} characters`);
    }
    return text;
  }
}

/** The value as its config has it; undefined for a table or a list. */
function scalarText(value: unknown): string | undefined {
  if (value instanceof Literal) return value.source;
  return typeof value === "string" ? value : undefined;
}

function asJson(value: unknown, name: string, offset: number): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    throw new TemplateError(offset, `{{${name}}}: ${messageOf(error)}`);
  }
}

function innerOf(token: Token): readonly Token[] {
  const [, , , , inner] = token;
  return Array.isArray(inner) ? inner : [];
}

/** Uses its own writer, since the library's shared one caches every template forever. */
function parse(template: string): readonly Token[] {
  try {
    return new mustache.Writer().parse(template) as readonly Token[];
  } catch (error) {
    const message = (error as Error).message;
    const [, problem = message, offset = "0"] = /^(.*) at (\d+)$/.exec(message) ?? [];
    throw new TemplateError(Number(offset), problem);
  }
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}

// How names are found.

interface Hit {
  readonly value: unknown;
}

/** A key of a set: its text, and the data that it contains. */
class KeyValue {
  readonly name: string;
  readonly text: string;
  readonly #item: EffectiveConfig["items"][string];
  readonly #place: string;
  #data: { readonly value: unknown } | undefined;

  constructor(name: string, item: EffectiveConfig["items"][string], place: string) {
    this.name = name;
    this.text = item.value;
    this.#item = item;
    this.#place = place;
  }

  /** Its text. A secret that the agent's token may not read has only a mask, which is not a value. */
  readableText(offset: number): string {
    if (!isMasked(this.#item)) return this.text;
    throw new TemplateError(
      offset,
      `${this.#place} ${this.name} is a secret that the agent's token may not read; give the agent a token with the policy agent`,
    );
  }

  data(offset: number): unknown {
    this.readableText(offset);
    try {
      // Binary data has no names in it, so a template can only use its base64 text.
      this.#data ??= { value: this.#item.format === "binary" ? this.text : readSource(this.#item) };
    } catch (error) {
      throw new TemplateError(
        offset,
        `${this.#place} ${this.name} is not valid ${this.#item.format}${this.#item.secret ? "" : `: ${(error as Error).message}`}`,
      );
    }
    return this.#data.value;
  }
}

class ConfigSet {
  readonly place: string;
  readonly keys: readonly KeyValue[];

  constructor({ app, profile, items }: EffectiveConfig) {
    this.place = `${app}/${profile}`;
    this.keys = Object.entries(items).map(([key, item]) => new KeyValue(key, item, this.place));
  }

  find(parts: readonly string[], offset: number): Hit | undefined {
    return this.#byKey(parts, offset) ?? this.#byMember(parts, offset);
  }

  #byKey(parts: readonly string[], offset: number): Hit | undefined {
    for (let count = parts.length; count > 0; count--) {
      const head = parts.slice(0, count).join(".");
      const rest = parts.slice(count);
      const exact = this.keys.filter(({ name }) => name === head);
      const named = exact.length > 0 ? exact : this.keys.filter(({ name }) => stemOf(name) === head);
      const hit = this.#only(parts, offset, named, (key) =>
        rest.length === 0 ? { value: key } : find(key.data(offset), rest),
      );
      if (hit) return hit;
    }
    return undefined;
  }

  #byMember(parts: readonly string[], offset: number): Hit | undefined {
    return this.#only(parts, offset, this.keys, (key) => {
      const data = key.data(offset);
      return isTable(data) ? find(data, parts) : undefined;
    });
  }

  #only(
    parts: readonly string[],
    offset: number,
    keys: readonly KeyValue[],
    look: (key: KeyValue) => Hit | undefined,
  ): Hit | undefined {
    const hits = keys.flatMap((key) => {
      const hit = look(key);
      return hit ? [{ key, hit }] : [];
    });
    if (hits.length > 1) {
      const names = hits.map(({ key }) => key.name).join(" and ");
      throw new TemplateError(
        offset,
        `"${parts.join(".")}" is in ${names} of ${this.place}; put the key in front of it`,
      );
    }
    return hits[0]?.hit;
  }
}

/** The outermost scope: the set's own keys, and further sets by name. */
class Root {
  readonly own: ConfigSet;
  readonly #others: ReadonlyMap<string, ConfigSet>;

  constructor(config: EffectiveConfig, sets: ReadonlyMap<string, EffectiveConfig>) {
    this.own = new ConfigSet(config);
    this.#others = new Map([...sets].map(([name, other]) => [name, new ConfigSet(other)]));
  }

  find([first = "", ...rest]: readonly string[], offset: number): Hit | undefined {
    const other = this.#others.get(first);
    if (!other) return this.own.find([first, ...rest], offset);
    return rest.length === 0 ? { value: other } : other.find(rest, offset);
  }

  /** The keys and sets that exist, for errors. */
  get shown(): string {
    const keys = this.own.keys.map(({ name }) => name);
    const more = keys.length > KEYS_SHOWN ? ", …" : "";
    const others = this.#others.size === 0 ? "" : `; other sets: ${[...this.#others.keys()].join(", ")}`;
    return `${this.own.place} has ${keys.slice(0, KEYS_SHOWN).join(", ") || "no keys"}${more}${others}`;
  }
}

/** Undefined only for an optional name. */
function lookUp(name: string, offset: number, scopes: readonly unknown[]): Hit | undefined {
  const optional = name.endsWith("?");
  const wanted = optional ? name.slice(0, -1) : name;
  if (wanted === ".") return { value: scopes[0] instanceof Root ? scopes[0].own : scopes[0] };
  const parts = wanted.split(".");
  if (parts.length > DEPTH_MAX) throw new TemplateError(offset, `a name has more than ${DEPTH_MAX} parts`);
  for (const scope of scopes) {
    const hit = scope instanceof Root || scope instanceof ConfigSet ? scope.find(parts, offset) : find(scope, parts);
    if (hit) return hit;
  }
  if (optional) return undefined;
  const root = scopes.at(-1);
  throw new TemplateError(offset, `{{${name}}} does not exist: ${root instanceof Root ? root.shown : ""}`);
}

/** The longest existing name wins, provided that the rest of the path exists, too. */
function find(value: unknown, parts: readonly string[]): Hit | undefined {
  if (parts.length === 0) return { value };
  if (Array.isArray(value)) {
    const [index = "", ...rest] = parts;
    return /^\d+$/.test(index) && Number(index) < value.length ? find(value[Number(index)], rest) : undefined;
  }
  if (!isTable(value)) return undefined;
  for (let count = parts.length; count > 0; count--) {
    const head = parts.slice(0, count).join(".");
    const hit = Object.hasOwn(value, head) ? find(own(value, head), parts.slice(count)) : undefined;
    if (hit) return hit;
  }
  return undefined;
}

/** The data that a section iterates over or tests. */
function dataOf(value: unknown, offset: number): unknown {
  const data = value instanceof KeyValue ? value.data(offset) : value;
  return data instanceof Literal ? (data.value ? data : undefined) : data;
}

/** A key without the ending that gives its format. */
function stemOf(key: string): string {
  return key.replace(/\.(yaml|yml|json|toml|properties|txt)$/i, "");
}
