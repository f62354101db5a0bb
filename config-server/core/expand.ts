/**
 * Placeholders: `${KEY}`, `${KEY#path.to.value}` and `${SET:KEY#path}` in an item with `expand` are filled in from the
 * effective config, or from that of another set; `${…|text}` has a default and `$${` is a plain `${`. Only values are filled
 * in, never syntax: each is written as the format of its place requires, so it cannot break out of it.
 */
import { VALUE_BYTES_MAX, type Item } from "../api.ts";
import { messageOf, own } from "#base";
import { Literal, readSource, valueAt } from "#base/formats";
import { PLACEHOLDER, withTexts, type Filling } from "./formats/fill-in.ts";
import { FORMATS } from "./formats/mod.ts";
import type { OpenItem, Unreadable } from "./sealed.ts";

/**
 * Characters of a value with placeholders, or of one that a placeholder points into: it is parsed while a
 * config is built, between two requests, and so must take milliseconds only.
 */
export const EXPAND_CHARS_MAX = 64 * 1024;
/** Placeholders inside placeholders: intended chains are short, those of a mistake endless. */
export const DEPTH_MAX = 16;

/** Where a placeholder points. */
export interface Reference {
  /** `APP`, `APP/PROFILE` or `NAMESPACE/APP/PROFILE`; undefined: the config that contains the placeholder. */
  readonly set: string | undefined;
  readonly key: string;
  readonly path: readonly string[];
  readonly fallback: string | undefined;
}

/** An effective config that placeholders refer to, with a unique id. */
export interface Source {
  readonly id: string;
  item(key: string): (OpenItem & { /** Why the value must not be used. */ readonly withheld?: string }) | undefined;
  /** Undefined: nothing is released for such a set. */
  other(set: string): Source | undefined;
}

/** A placeholder that cannot be filled in. The message names it and says how to fix it. */
export class ExpandError extends Error {
  /** The secret that could not be read, if that is the cause. */
  readonly unreadable: Unreadable | undefined;

  constructor(message: string, unreadable?: Unreadable) {
    super(message);
    this.unreadable = unreadable;
  }
}

const NAME = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const SET = `${NAME}(?:/${NAME}(?:@${NAME})?)?|${NAME}/${NAME}/${NAME}(?:@${NAME})?`;
const REFERENCE = new RegExp(`^(?:(${SET}):)?([A-Za-z0-9][A-Za-z0-9._-]{0,127})(?:#([^|]{1,256}))?(?:\\|(.*))?$`);

/** @throws ExpandError */
export function parseReference(text: string): Reference {
  const [, set, key, path, fallback] = REFERENCE.exec(text) ?? [];
  if (key === undefined) {
    throw new ExpandError(
      `"\${${text}}" is not a valid placeholder; expected \${KEY}, \${KEY#path.to.value} or \${SET:KEY#path}, each optionally with |default. A plain "\${" is written "$\${"`,
    );
  }
  return { set, key, path: path?.split(".") ?? [], fallback };
}

/** Sets that the placeholders of a value name. Malformed placeholders name none; `expandItem` reports them. */
export function setsIn(item: Item): string[] {
  const sets: string[] = [];
  for (const [, inner] of item.value.matchAll(PLACEHOLDER)) {
    const set = inner === undefined ? undefined : REFERENCE.exec(inner)?.[1];
    if (set !== undefined) sets.push(set);
  }
  return sets;
}

/** A value with its placeholders filled in, and whether it contains a secret. @throws ExpandError */
export function expandItem(
  source: Source,
  key: string,
  item: Item,
): { readonly value: string; readonly secret: boolean } {
  const expansion = new Expansion();
  try {
    const value = expansion.item(source, key, item);
    return { value, secret: item.secret === true || expansion.secret };
  } catch (error) {
    throw item.secret ? unquoted(error, `a placeholder in the secret "${key}" cannot be filled in`) : error;
  }
}

/** Errors do not quote a secret value. They do name a secret that cannot be read. */
function unquoted(error: unknown, message: string): unknown {
  return error instanceof ExpandError && !error.unreadable ? new ExpandError(message) : error;
}

class Expansion {
  /** The placeholders being filled in, outermost first. A repeated one would recurse forever. */
  readonly #open: string[] = [];
  #chars = 0;
  /** Whether any secret was used. */
  secret = false;

  item(source: Source, key: string, { format, value }: Item): string {
    requireReadable(key, value);
    const row = own(FORMATS, format);
    if (!row?.fillIn) throw new ExpandError(`"${key}" is ${format} and has no placeholders; remove "expand"`);
    if (!value.includes("${")) return value;
    try {
      return row.fillIn(value, {
        texts: (string) => this.#texts(source, string),
        typed: (string) => this.#filling(source, string),
      });
    } catch (error) {
      if (error instanceof ExpandError) throw error;
      throw new ExpandError(`"${key}" cannot be filled in: ${messageOf(error)}`);
    }
  }

  /** One string of a structured value. A string that is exactly one placeholder takes the type of the named value. */
  #filling(source: Source, text: string): Filling {
    const whole = /^\$\{([^}\n]{0,512})\}$/.exec(text)?.[1];
    if (whole === undefined) return { texts: this.#texts(source, text) };
    const data = this.#value(source, parseReference(whole));
    return typeof data === "string" ? { texts: [data] } : { data };
  }

  /** The text for each placeholder, in order. */
  #texts(source: Source, text: string): string[] {
    return [...text.matchAll(PLACEHOLDER)].map(([found, inner, closed]) => {
      if (found === "$${") return "${";
      if (inner === undefined || closed === undefined) {
        throw new ExpandError(`"${found}" has no end; a plain "\${" is written "$\${"`);
      }
      return textOf(this.#value(source, parseReference(inner)), inner);
    });
  }

  #value(from: Source, reference: Reference): unknown {
    const { set, key, path, fallback } = reference;
    const name = nameOf(reference);
    const source = set === undefined ? from : from.other(set);
    const item = source?.item(key);
    if (!source || !item) {
      if (fallback !== undefined) return fallback;
      const what = source ? `no key "${key}"` : `nothing is released for "${set}"`;
      throw new ExpandError(`\${${name}}: ${what}; release it, correct the name, or give a default: \${${name}|…}`);
    }
    if (item.unreadable) throw new ExpandError(`\${${name}}: ${item.unreadable.message}`, item.unreadable);
    if (item.withheld !== undefined) throw new ExpandError(`\${${name}}: ${item.withheld}`);
    if (item.secret) this.secret = true;
    if (item.opaque) return "";
    const place = `${source.id}:${key}#${path.join(".")}`;
    if (this.#open.includes(place)) {
      throw new ExpandError(`\${${name}} is circular: ${[...this.#open, place].join(" → ")}`);
    }
    if (this.#open.length >= DEPTH_MAX) throw new ExpandError(`\${${name}}: more than ${DEPTH_MAX} placeholders deep`);
    this.#open.push(place);
    const value = this.#told(source, item, reference);
    this.#open.pop();
    if (value === undefined && fallback === undefined) {
      throw new ExpandError(
        `\${${name}}: "${key}" has nothing at ${path.join(".")}; correct the path, or give a default`,
      );
    }
    return value ?? fallback ?? null;
  }

  #told(source: Source, item: Item, reference: Reference): unknown {
    if (!item.secret) return this.#found(source, item, reference);
    try {
      return this.#found(source, item, reference);
    } catch (error) {
      throw unquoted(error, `\${${nameOf(reference)}}: a placeholder in that secret cannot be filled in`);
    }
  }

  #found(source: Source, item: Item, { key, path }: Reference): unknown {
    if (path.length === 0) return this.#counted(item.expand ? this.item(source, key, item) : item.value);
    requireReadable(key, item.value);
    const value = valueAt(readSource(item), path);
    if (typeof value !== "string" || !item.expand) return value;
    const filling = this.#filling(source, this.#counted(value));
    return "data" in filling ? filling.data : withTexts(value, filling.texts, (text) => text);
  }

  /** A few placeholders that each name another one twice would fill the memory. */
  #counted(text: string): string {
    this.#chars += text.length;
    if (this.#chars > VALUE_BYTES_MAX) {
      throw new ExpandError(`filled in, it is more than ${VALUE_BYTES_MAX} characters; nest fewer placeholders`);
    }
    return text;
  }
}

function requireReadable(key: string, value: string): void {
  if (value.length <= EXPAND_CHARS_MAX) return;
  throw new ExpandError(
    `"${key}" has ${value.length} characters; a value with placeholders, or with a path that a placeholder names, may have at most ${EXPAND_CHARS_MAX}`,
  );
}

function nameOf({ set, key, path }: Reference): string {
  return `${set === undefined ? "" : `${set}:`}${key}${path.length === 0 ? "" : `#${path.join(".")}`}`;
}

function textOf(value: unknown, name: string): string {
  if (typeof value === "string") return value;
  if (value === null) return "";
  if (value instanceof Literal) return value.source;
  throw new ExpandError(`\${${name}} is a list or an object, which cannot be part of a text; name one value of it`);
}
