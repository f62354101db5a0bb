/**
 * One release as its reader sees it: the value of a key, parsed by its format, selected by a path, and validated by a Standard
 * Schema (zod, valibot, arktype and others). A snapshot never changes, so two values read from it belong to one release.
 * @see https://standardschema.dev
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { messageOf, own, ownMember, shapeOf } from "#base";
import { readValue } from "#base/formats";
import { ConfigErrors, isMasked, type EffectiveConfig } from "#config-server/api";
import { ClientErrors } from "./errors.ts";

/** Issues listed in the text of an error; `extra.issues` has all of them. */
const ISSUES_LISTED_MAX = 5;

export type AnySchema = StandardSchemaV1<unknown, unknown>;

export interface ReadOptions<Schema extends StandardSchemaV1 = AnySchema, Default = never> {
  /** Validates the value; its output is returned. Absent: the parsed data, of type unknown. */
  readonly schema?: Schema | undefined;
  /** Path into the data: `"db.url"`, or its parts where a name contains a dot. For properties: the name of one property. */
  readonly path?: string | readonly string[] | undefined;
  /** Returned unchanged when nothing is released, or key or path is absent. Never for a value that is not valid. */
  readonly default?: Default;
}

export type ValueOf<Schema extends StandardSchemaV1, Default = never> = StandardSchemaV1.InferOutput<Schema> | Default;

/** One issue of VALUE_INVALID, in `extra.issues`. */
export interface ValueIssue {
  readonly message: string;
  /** Path into the validated value. */
  readonly path: readonly (string | number)[];
}

/** The data at key and path, before any schema; `present` is false when one of them is absent. */
export type FoundValue = { readonly present: true; readonly data: unknown } | { readonly present: false };

export class ConfigSnapshot {
  readonly #effective: EffectiveConfig;

  constructor(effective: EffectiveConfig) {
    this.#effective = effective;
  }

  /** Identifies this content. */
  get releaseKey(): string {
    return this.#effective.releaseKey;
  }

  /** Store revision of the last release in it; 0 when nothing is released. */
  get revision(): number {
    return this.#effective.revision;
  }

  /** In order of name. */
  keys(): string[] {
    return Object.keys(this.#effective.items).sort();
  }

  /** The release that a key's value comes from; undefined for an unknown key. */
  origin(key: string): { readonly profile: string; readonly version: number } | undefined {
    return this.#item(key)?.origin;
  }

  /**
   * The value of a key.
   * @throws CONFIG_SET_NOT_FOUND, CONFIG_KEY_NOT_FOUND (`extra.key`, `extra.path`), CLIENT_VALUE_MASKED, CLIENT_VALUE_NOT_PARSED,
   * CLIENT_VALUE_INVALID (`extra.issues`: ValueIssue[])
   */
  async get<Schema extends StandardSchemaV1 = AnySchema, Default = never>(
    key: string,
    options: ReadOptions<Schema, Default> = {},
  ): Promise<ValueOf<Schema, Default>> {
    return this.settle(key, this.find(key, options.path), options);
  }

  /** The data at key and path. @throws CLIENT_VALUE_MASKED, CLIENT_VALUE_NOT_PARSED */
  find(key: string, path?: string | readonly string[]): FoundValue {
    const item = this.#item(key);
    if (!item) return { present: false };
    if (isMasked(item)) {
      throw ClientErrors.VALUE_MASKED(
        `${this.#place(key)} is a secret, which this token may not read. Use a token with the policy agent or service.`,
        { extra: { key } },
      );
    }
    let data: unknown;
    try {
      data = readValue(item);
    } catch (cause) {
      throw ClientErrors.VALUE_NOT_PARSED(
        // The parser's message quotes the text.
        item.secret
          ? `${this.#place(key)} is not valid ${item.format}. Release a valid value.`
          : `${this.#place(key)} is not valid ${item.format}: ${messageOf(cause)}. Release a valid value.`,
        item.secret ? { extra: { key } } : { cause, extra: { key } },
      );
    }
    for (const part of partsOf(path, item.format)) {
      if (typeof data !== "object" || data === null || !Object.hasOwn(data, part)) return { present: false };
      data = ownMember(data, part);
    }
    return { present: true, data };
  }

  /** The found value as its schema returns it, or the default when none was found. Throws the errors of `get`. */
  async settle<Schema extends StandardSchemaV1, Default>(
    key: string,
    found: FoundValue,
    options: ReadOptions<Schema, Default>,
  ): Promise<ValueOf<Schema, Default>> {
    const { schema, path } = options;
    if (!found.present) {
      if ("default" in options) return options.default;
      throw this.#absent(key, path);
    }
    if (!schema) return found.data;
    const result = await schema["~standard"].validate(found.data);
    if (!result.issues) return result.value;
    const issues = result.issues.map(issueOf);
    const listed = issues.slice(0, ISSUES_LISTED_MAX).map(({ message, path }) => `${pointerOf(path)}: ${message}`);
    const more = issues.length > listed.length ? `; and ${issues.length - listed.length} more` : "";
    throw ClientErrors.VALUE_INVALID(
      `${this.#place(key)} does not match its schema. ${listed.join("; ")}${more}. Release a value that does, or fix the schema.`,
      { extra: { key, ...(path === undefined ? {} : { path }), issues } },
    );
  }

  #item(key: string): EffectiveConfig["items"][string] | undefined {
    const { items } = this.#effective;
    return own(items, key);
  }

  #absent(key: string, path: string | readonly string[] | undefined): Error {
    const { namespace, app, profile, revision } = this.#effective;
    if (revision === 0) {
      return ConfigErrors.SET_NOT_FOUND(
        `Nothing is released for "${namespace}/${app}/${profile}", so it has no key "${key}". Release it, or give a default.`,
        { extra: { key } },
      );
    }
    const where = path === undefined || !this.#item(key) ? "" : ` at path ${JSON.stringify(path)}`;
    return ConfigErrors.KEY_NOT_FOUND(`Found no ${this.#place(key)}${where}. Release it, or give a default.`, {
      extra: { key, ...(path === undefined ? {} : { path }) },
    });
  }

  #place(key: string): string {
    const { namespace, app, profile } = this.#effective;
    const origin = this.origin(key);
    const release = origin === undefined ? "" : ` (release ${origin.version} of profile ${origin.profile})`;
    return `key "${key}" of "${namespace}/${app}/${profile}"${release}`;
  }
}

function partsOf(path: string | readonly string[] | undefined, format: string): readonly string[] {
  if (path === undefined) return [];
  if (typeof path !== "string") return path;
  return shapeOf(format) === "flat" ? [path] : path.split(".");
}

function issueOf({ message, path = [] }: StandardSchemaV1.Issue): ValueIssue {
  return {
    message,
    path: path
      .map((part) => (typeof part === "object" ? part.key : part))
      .map((part) => (typeof part === "number" ? part : String(part))),
  };
}

function pointerOf(path: ValueIssue["path"]): string {
  return path.length === 0 ? "the value" : path.map((part) => `/${part}`).join("");
}
