/**
 * One release as its reader sees it: the value of a key, parsed by its format, looked up by a path, and held to a Standard
 * Schema (zod, valibot, arktype and others). A snapshot never changes, so two values read from it are of one release.
 * @see https://standardschema.dev
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { messageOf, own, ownMember } from "#base";
import { readValue } from "#base/formats";
import { ConfigErrors, isMasked, type EffectiveConfig } from "#config-server/api";
import { ClientErrors } from "./errors.ts";

/** Issues told in the text of an error; `extra.issues` has all of them. */
const ISSUES_TOLD_MAX = 5;

export type AnySchema = StandardSchemaV1<unknown, unknown>;

export interface ReadOptions<Schema extends StandardSchemaV1 = AnySchema, Default = never> {
  /** What the value must be; its output is what is returned. Absent: the data as parsed, of type unknown. */
  readonly schema?: Schema | undefined;
  /** Into the data: `"db.url"`, or its parts where a name holds a dot. Of properties it is the name of one. */
  readonly path?: string | readonly string[] | undefined;
  /** Returned as it is when nothing is released, or key or path is absent. Never for a value that is bad. */
  readonly default?: Default;
}

export type ValueOf<Schema extends StandardSchemaV1, Default = never> = StandardSchemaV1.InferOutput<Schema> | Default;

/** Of VALUE_INVALID: `extra.issues`. */
export interface ValueIssue {
  readonly message: string;
  /** Into the value that the schema was given. */
  readonly path: readonly (string | number)[];
}

/** What stands at key and path, before any schema; `present` is false when one of them is absent. */
export type Found = { readonly present: true; readonly data: unknown } | { readonly present: false };

export class ConfigSnapshot {
  readonly #effective: EffectiveConfig;

  constructor(effective: EffectiveConfig) {
    this.#effective = effective;
  }

  /** Names this very content. */
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

  /** Which release a key's value comes from; undefined when there is no such key. */
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
  find(key: string, path?: string | readonly string[]): Found {
    const item = this.#item(key);
    if (!item) return { present: false };
    if (isMasked(item)) {
      throw ClientErrors.VALUE_MASKED(
        `${this.#place(key)} is a secret, which this token may not read. Use a token of the role agent.`,
        { extra: { key } },
      );
    }
    let data: unknown;
    try {
      data = readValue(item);
    } catch (cause) {
      throw ClientErrors.VALUE_NOT_PARSED(
        // What a parser says quotes the text.
        item.secret
          ? `${this.#place(key)} is no ${item.format}. Release a value that is.`
          : `${this.#place(key)} is no ${item.format}: ${messageOf(cause)}. Release a value that is.`,
        item.secret ? { extra: { key } } : { cause, extra: { key } },
      );
    }
    for (const part of partsOf(path, item.format)) {
      if (typeof data !== "object" || data === null || !Object.hasOwn(data, part)) return { present: false };
      data = ownMember(data, part);
    }
    return { present: true, data };
  }

  /** What was found, as its schema makes it; the default, when nothing was. Errors are those of `get`. */
  async settle<Schema extends StandardSchemaV1, Default>(
    key: string,
    found: Found,
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
    const told = issues.slice(0, ISSUES_TOLD_MAX).map(({ message, path }) => `${pointerOf(path)}: ${message}`);
    const more = issues.length > told.length ? `; and ${issues.length - told.length} more` : "";
    throw ClientErrors.VALUE_INVALID(
      `${this.#place(key)} does not keep its schema. ${told.join("; ")}${more}. Release a value that does, or mend the schema.`,
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
        `Nothing is released for "${namespace}/${app}/${profile}", so there is no key "${key}". Release it, or give a default.`,
        { extra: { key } },
      );
    }
    const where = path === undefined || !this.#item(key) ? "" : ` at path ${JSON.stringify(path)}`;
    return ConfigErrors.KEY_NOT_FOUND(`There is no ${this.#place(key)}${where}. Release it, or give a default.`, {
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
  return format === "properties" ? [path] : path.split(".");
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
