/**
 * The result of converting another product's export: files in the form of `posthouse config import`, and notes about everything that
 * is different or missing.
 */
import { Value } from "typebox/value";
import { Key, Name } from "#config-server/api";

export interface SourceFile {
  /** Parts joined by "/". */
  readonly path: string;
  readonly bytes: Uint8Array;
}

export interface ConversionOptions {
  /** The namespace of all sets; undefined when it was not given. */
  readonly namespace: string | undefined;
  /** Consul: keys below this prefix. Nacos: this group. */
  readonly prefix: string | undefined;
  /** Names that are profiles at the end of a name: `orders-prod`. */
  readonly profiles: readonly string[];
}

/** Converts the files of one export. */
export type Convert = (files: readonly SourceFile[], options: ConversionOptions) => Conversion;

export interface SetPlace {
  readonly namespace: string;
  readonly app: string;
  readonly profile: string;
}

export const NAMESPACE_DEFAULT = "default";
export const PROFILE_DEFAULT = "default";

const NAME_CHARS_MAX = 63;
const KEY_CHARS_MAX = 128;

export class Conversion {
  /** By path: NAMESPACE/APP/PROFILE/KEY. */
  readonly files = new Map<string, Uint8Array>();
  /** In order, each once. */
  readonly notes = new Set<string>();

  note(where: string, text: string): void {
    this.notes.add(`${where}: ${text}`);
  }

  /** Adds a value under names that posthouse accepts. Names that had to change are notes. */
  put(where: string, place: SetPlace, key: string, value: Uint8Array | string): void {
    const parts = [place.namespace, place.app, place.profile].map((name) => this.#name(where, name));
    const validKey = this.#key(where, key);
    if (validKey === undefined || parts.includes(undefined)) return;
    const path = [...parts, validKey].join("/");
    if (this.files.has(path)) return this.note(where, `not converted, because ${path} already has another value`);
    this.files.set(path, typeof value === "string" ? Buffer.from(value) : value);
  }

  #name(where: string, given: string): string | undefined {
    const name = given
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, "-")
      .slice(0, NAME_CHARS_MAX)
      .replaceAll(/^-+|-+$/g, "");
    if (!Value.Check(Name, name))
      this.note(where, `not converted, because "${given}" has no letter or digit for a name`);
    else if (name !== given.toLowerCase()) this.note(where, `"${given}" is now "${name}"`);
    return Value.Check(Name, name) ? name : undefined;
  }

  #key(where: string, given: string): string | undefined {
    const key = given
      .replaceAll(/[^A-Za-z0-9._-]+/g, "-")
      .replace(/^[^A-Za-z0-9]+/, "")
      .slice(0, KEY_CHARS_MAX);
    if (!Value.Check(Key, key)) this.note(where, `not converted, because "${given}" cannot be the name of a key`);
    else if (key !== given) this.note(where, `the key "${given}" is now "${key}"`);
    return Value.Check(Key, key) ? key : undefined;
  }
}

/** A name without its extension, and the extension with its dot: `orders`, `.yaml`. */
export function splitExtension(name: string): readonly [stem: string, extension: string] {
  const dot = name.lastIndexOf(".");
  return dot <= 0 ? [name, ""] : [name.slice(0, dot), name.slice(dot)];
}

/**
 * The app and the profile of a name such as `orders-prod`. It is a profile if it was given as one, or if there is also `orders`.
 * Otherwise the whole name is the app, since apps have dashes as well.
 */
export function splitProfile(
  name: string,
  { names, profiles }: { readonly names: ReadonlySet<string>; readonly profiles: ReadonlySet<string> },
): readonly [app: string, profile: string] {
  for (let dash = name.indexOf("-"); dash > 0; dash = name.indexOf("-", dash + 1)) {
    const app = name.slice(0, dash);
    const profile = name.slice(dash + 1);
    if (profile !== "" && (profiles.has(profile) || names.has(app))) return [app, profile];
  }
  return [name, PROFILE_DEFAULT];
}

/** The text of a file; undefined if it is not UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
