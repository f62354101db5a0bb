/**
 * Checks values against their JSON Schema (2020-12). Problems have a line and a column. The schema of key `app.yaml` is the
 * key `app.yaml.schema.json` in profile `default`, so it is reviewed, released and rolled back like any other key.
 * `schema.json` is the schema of a whole release, as an object of all its values by key.
 */
import { Ajv2020, type ErrorObject } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { messageOf, own, schemaProblems } from "#base";
import { isTable, readValue } from "#base/formats";
import type { Item, Items, ReleaseProblem } from "../api.ts";
import { FORMATS } from "../core/formats/mod.ts";
import { LinearPatterns } from "./linear-patterns.ts";

const SCHEMA_SUFFIX = ".schema.json";
const SET_SCHEMA_KEY = "schema.json";
/** Problems reported for one value: people fix the first ones first. */
const PROBLEMS_MAX = 20;

export interface SchemaTask {
  /** The key of the value. For a whole release: the key of its schema. */
  readonly key: string;
  readonly item?: Item;
  /** Instead of one value: all values of a release. */
  readonly items?: Items;
  /** Text of the schema. */
  readonly schema: string;
  /** Prefix of each message, such as the profile in which the value is live. */
  readonly where: string;
}

export function isSchema(key: string): boolean {
  return key.endsWith(SCHEMA_SUFFIX) || key === SET_SCHEMA_KEY;
}

/** Pairs each schema in `base`, the items of the base profile, with the values that it applies to in each set. */
export function schemaTasks(
  base: Items,
  sets: readonly { readonly items: Items; readonly where: string }[],
): SchemaTask[] {
  return Object.entries(base).flatMap(([schemaKey, { value: schema }]): SchemaTask[] => {
    if (!isSchema(schemaKey)) return [];
    if (schemaKey === SET_SCHEMA_KEY) return sets.map(({ items, where }) => ({ key: schemaKey, items, schema, where }));
    const key = schemaKey.slice(0, -SCHEMA_SUFFIX.length);
    return sets.flatMap(({ items, where }) => {
      const item = own(items, key);
      return item ? [{ key, item, schema, where }] : [];
    });
  });
}

let withMetaSchemas: Ajv2020 | undefined;

/** Checks schemas by their meta-schema. To compile that takes tens of milliseconds, so one does it for all schemas. */
function metaSchemas(): Ajv2020 {
  if (withMetaSchemas === undefined) {
    withMetaSchemas = new Ajv2020({ strict: false, validateFormats: true });
    addFormats.default(withMetaSchemas);
  }
  return withMetaSchemas;
}

/** All problems, by value. The syntax has been checked before. */
export function validateBySchema(tasks: readonly SchemaTask[]): ReleaseProblem[] {
  return tasks.flatMap((task) => {
    const patterns = new LinearPatterns();
    const code = { regExp: patterns.engine };
    const ajv = new Ajv2020({ allErrors: true, strict: false, validateFormats: true, validateSchema: false, code });
    addFormats.default(ajv);
    const schemaKey = task.items ? task.key : `${task.key}${SCHEMA_SUFFIX}`;
    let validate;
    try {
      const schema = JSON.parse(task.schema) as object;
      void metaSchemas().validateSchema(schema, true);
      validate = ajv.compile(schema);
    } catch (error) {
      return [{ key: schemaKey, pointer: "", message: `not a valid schema: ${messageOf(error)}` }];
    }
    const refused = patterns.problemsOf(schemaKey, task.schema);
    if (refused.length > 0) return refused.slice(0, PROBLEMS_MAX);
    const { value, place } = task.items ? readAll(task.items) : read(task.item as Item);
    if (validate(value)) return [];
    return (validate.errors ?? []).slice(0, PROBLEMS_MAX).map((error) => {
      const secret = task.item?.secret ? task.key : secretAt(task.items, error.instancePath);
      return secret === undefined
        ? {
            key: task.key,
            pointer: error.instancePath,
            message: `${task.where}${said(error)}`,
            ...place(error.instancePath),
          }
        : // The place and the value of a problem are parts of the secret; the requirement of the schema is not.
          { key: task.key, pointer: "", message: `${task.where}the secret "${secret}" breaks ${error.schemaPath}` };
    });
  });
}

/** JSON Schema has no big integers: a large integer is checked as the nearest number. */
function asNumbers(data: unknown): unknown {
  if (typeof data === "bigint") return Number(data);
  if (Array.isArray(data)) return data.map(asNumbers);
  if (!isTable(data)) return data;
  return Object.fromEntries(Object.entries(data).map(([name, value]) => [name, asNumbers(value)]));
}

type Place = (pointer: string) => { line?: number; column?: number };
const NOWHERE: Place = () => ({});

/** A release as one object, without its schemas. */
function readAll(items: Items): { value: unknown; place: Place } {
  const values = Object.entries(items).filter(([key]) => !key.endsWith(SCHEMA_SUFFIX) && key !== SET_SCHEMA_KEY);
  return { value: Object.fromEntries(values.map(([key, item]) => [key, asNumbers(readValue(item))])), place: NOWHERE };
}

function read({ format, value }: Item): { value: unknown; place: Place } {
  const placed = FORMATS[format].readPlaced?.(value);
  if (!placed) return { value: asNumbers(readValue({ format, value })), place: NOWHERE };
  return { value: asNumbers(placed.data), place: placed.placeOf };
}

/** The key that an error is about, if its value is a secret. */
function secretAt(items: Items | undefined, instancePath: string): string | undefined {
  const [, key = ""] = instancePath.split("/");
  return items && own(items, key)?.secret ? key : undefined;
}

function said(error: ErrorObject): string {
  const { additionalProperty } = error.params as { additionalProperty?: string };
  if (error.keyword === "additionalProperties" && additionalProperty !== undefined)
    return `"${additionalProperty}" is not a known field`;
  const [problem] = schemaProblems([error]);
  return problem?.kind === "value" ? problem.message : (error.message ?? "does not match the schema");
}
