/**
 * Placeholders: `${KEY}`, `${KEY#path.to.value}` and `${SET:KEY#path}` in a value that asks for it are filled in from the
 * effective config, or from that of another set; `${…|text}` has a default and `$${` is a plain `${`. What is filled in is
 * a value, never syntax: it is written the way that the format of the place asks for, so it cannot break out of it.
 */
import { isScalar, visit } from "yaml";
import { stringify as stringifyToml } from "smol-toml";
import { VALUE_BYTES_MAX, type Item } from "../api.ts";
import { parseYaml, readValue, valueAt } from "#base/formats";

/**
 * Characters of a value with placeholders, or of one that a placeholder points into: it is read when a config is made,
 * between two requests, and so in milliseconds.
 */
export const EXPAND_CHARS_MAX = 64 * 1024;
/** Placeholders inside placeholders: chains of people are short, those of a mistake endless. */
export const DEPTH_MAX = 16;

/** Where a placeholder points. */
export interface Reference {
  /** `APP`, `APP/PROFILE` or `NAMESPACE/APP/PROFILE`; undefined: the config that it stands in. */
  readonly set: string | undefined;
  readonly key: string;
  readonly path: readonly string[];
  readonly fallback: string | undefined;
}

/** An effective config that placeholders look into, by a name that tells it from all others. */
export interface Source {
  readonly id: string;
  item(key: string): Item | undefined;
  /** Undefined: nothing is released for such a set. */
  other(set: string): Source | undefined;
}

/** A placeholder that cannot be filled in. The message names it and the way out. */
export class ExpandError extends Error {}

const PLACEHOLDER = /\$\$\{|\$\{([^}\n]{0,512})(\})?/g;
const NAME = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const SET = `${NAME}(?:/${NAME}(?:@${NAME})?)?|${NAME}/${NAME}/${NAME}(?:@${NAME})?`;
const REFERENCE = new RegExp(`^(?:(${SET}):)?([A-Za-z0-9][A-Za-z0-9._-]{0,127})(?:#([^|]{1,256}))?(?:\\|(.*))?$`);

/** @throws ExpandError */
export function parseReference(text: string): Reference {
  const [, set, key, path, fallback] = REFERENCE.exec(text) ?? [];
  if (key === undefined) {
    throw new ExpandError(
      `"\${${text}}" is no placeholder; it is \${KEY}, \${KEY#path.to.value} or \${SET:KEY#path}, each with |default if wanted, and a plain "\${" is written "$\${"`,
    );
  }
  return { set, key, path: path?.split(".") ?? [], fallback };
}

/** Sets that the placeholders of a value name. Ill-formed ones name none; `expandItem` tells of them. */
export function setsIn(item: Item): string[] {
  const sets: string[] = [];
  for (const [, inner] of item.value.matchAll(PLACEHOLDER)) {
    const set = inner === undefined ? undefined : REFERENCE.exec(inner)?.[1];
    if (set !== undefined) sets.push(set);
  }
  return sets;
}

/** A value with its placeholders filled in. @throws ExpandError */
export function expandItem(source: Source, key: string, item: Item): string {
  return new Expansion().item(source, key, item);
}

class Expansion {
  /** What is being filled in, outermost first: what comes again goes round for ever. */
  readonly #open: string[] = [];
  #chars = 0;

  item(source: Source, key: string, { format, value }: Item): string {
    requireReadable(key, value);
    const scalar = (text: string) => this.#scalar(source, text);
    const fill: Record<Item["format"], () => string> = {
      yaml: () => expandYaml(value, scalar),
      json: () => expandJson(value, scalar),
      toml: () => expandToml(value, scalar),
      properties: () => this.#text(source, value, escapeProperty),
      text: () => this.#text(source, value, (text) => text),
      binary: () => {
        throw new ExpandError(`"${key}" is binary and has no placeholders; remove "expand"`);
      },
    };
    return fill[format]();
  }

  /** One string of a structured value. A string that is one placeholder and no more keeps the type of what it names. */
  #scalar(source: Source, text: string): unknown {
    const whole = /^\$\{([^}\n]{0,512})\}$/.exec(text);
    return whole?.[1] === undefined
      ? this.#text(source, text, (part) => part)
      : this.#value(source, parseReference(whole[1]));
  }

  #text(source: Source, text: string, write: (part: string) => string): string {
    return text.replaceAll(PLACEHOLDER, (found: string, inner: string | undefined, closed: string | undefined) => {
      if (found === "$${") return "${";
      if (inner === undefined || closed === undefined) {
        throw new ExpandError(`"${found}" has no end; a plain "\${" is written "$\${"`);
      }
      return write(textOf(this.#value(source, parseReference(inner)), inner));
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
      throw new ExpandError(`\${${name}}: ${what}; release it, mend the name, or give a default: \${${name}|…}`);
    }
    const place = `${source.id}:${key}#${path.join(".")}`;
    if (this.#open.includes(place)) {
      throw new ExpandError(`\${${name}} goes in a circle: ${[...this.#open, place].join(" → ")}`);
    }
    if (this.#open.length >= DEPTH_MAX) throw new ExpandError(`\${${name}}: more than ${DEPTH_MAX} placeholders deep`);
    this.#open.push(place);
    const value = this.#found(source, item, reference);
    this.#open.pop();
    if (value === undefined && fallback === undefined) {
      throw new ExpandError(`\${${name}}: "${key}" has nothing at ${path.join(".")}; mend the path, or give a default`);
    }
    return value ?? fallback ?? null;
  }

  #found(source: Source, item: Item, { key, path }: Reference): unknown {
    if (path.length === 0) return this.#counted(item.expand ? this.item(source, key, item) : item.value);
    requireReadable(key, item.value);
    const value = valueAt(readValue(item), path);
    if (typeof value === "string") return item.expand ? this.#scalar(source, this.#counted(value)) : value;
    return value;
  }

  /** A few placeholders that name each other twice would fill the memory. */
  #counted(text: string): string {
    this.#chars += text.length;
    if (this.#chars > VALUE_BYTES_MAX) {
      throw new ExpandError(`filled in, it is more than ${VALUE_BYTES_MAX} characters; let fewer placeholders nest`);
    }
    return text;
  }
}

function requireReadable(key: string, value: string): void {
  if (value.length <= EXPAND_CHARS_MAX) return;
  throw new ExpandError(
    `"${key}" has ${value.length} characters; with placeholders, or pointed into by one, it may have ${EXPAND_CHARS_MAX}`,
  );
}

function nameOf({ set, key, path }: Reference): string {
  return `${set === undefined ? "" : `${set}:`}${key}${path.length === 0 ? "" : `#${path.join(".")}`}`;
}

function textOf(value: unknown, name: string): string {
  if (typeof value === "string") return value;
  if (value === null) return "";
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") return String(value);
  if (value instanceof Date) return value.toISOString();
  throw new ExpandError(`\${${name}} is a list or an object, which has no place inside a text; name one value of it`);
}

function escapeProperty(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\r", "\\r");
}

type Scalar = (text: string) => unknown;

/** Comments, anchors and the order of keys stay. */
function expandYaml(text: string, scalar: Scalar): string {
  const document = parseYaml(text);
  let changed = false;
  visit(document, {
    Scalar(place, node) {
      if (place === "key" || typeof node.value !== "string" || !node.value.includes("${")) return undefined;
      changed = true;
      const value = scalar(node.value);
      if (typeof value === "object" && value !== null) return document.createNode(value);
      if (isScalar(node)) node.value = value;
      return undefined;
    },
  });
  return changed ? document.toString({ lineWidth: 0 }) : text;
}

/** A placeholder in JSON stands inside a string, so strings are all that is looked at, and the rest stays to the letter. */
function expandJson(text: string, scalar: Scalar): string {
  return text.replaceAll(/"(?:[^"\\]|\\.)*"(\s*:)?/g, (found: string, colon: string | undefined) => {
    if (colon !== undefined || !found.includes("${")) return found;
    return JSON.stringify(scalar(JSON.parse(found) as string) ?? null);
  });
}

/** TOML is written anew, without its comments, when there was something to fill in. */
function expandToml(text: string, scalar: Scalar): string {
  if (!text.includes("${")) return text;
  const walk = (value: unknown): unknown => {
    if (typeof value === "string") return value.includes("${") ? scalar(value) : value;
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value === "object" && value !== null && !(value instanceof Date)) {
      return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, walk(inner)]));
    }
    return value;
  };
  return stringifyToml(walk(readValue({ format: "toml", value: text })));
}
