/**
 * Whether a value keeps its JSON Schema (2020-12), with line and column where not. The schema of key `app.yaml` is the key
 * `app.yaml.schema.json` beside it in profile `default`, so it is reviewed, released and rolled back like anything else;
 * `schema.json` is that of a whole release, an object of all its values by key.
 */
import { Ajv2020, type ErrorObject } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { LineCounter, parseDocument } from "yaml";
import { messageOf, own, schemaProblems } from "#base";
import { dataOf, isTable, readValue, YAML_OPTIONS } from "#base/formats";
import { offsetOf } from "#base/yaml";
import type { Item, Items, ReleaseProblem } from "../api.ts";
import { LinearPatterns } from "./linear-patterns.ts";

const SCHEMA_SUFFIX = ".schema.json";
const SET_SCHEMA_KEY = "schema.json";
/** Problems told of one value: people mend the first ones first. */
const PROBLEMS_MAX = 20;

export interface SchemaTask {
  /** Of the value; of a whole release, of its schema. */
  readonly key: string;
  readonly item?: Item;
  /** Instead of one value: all of a release. */
  readonly items?: Items;
  /** Text of the schema. */
  readonly schema: string;
  /** Said in front of each message, such as the profile that the value is live in. */
  readonly where: string;
}

export function isSchema(key: string): boolean {
  return key.endsWith(SCHEMA_SUFFIX) || key === SET_SCHEMA_KEY;
}

/** What is to be held against what: the schemas among `base`, the items of the base profile, and each set's values. */
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

/** All that is wrong, value by value. Syntax was checked before. */
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
      metaSchemas().validateSchema(schema, true);
      validate = ajv.compile(schema);
    } catch (error) {
      return [{ key: schemaKey, pointer: "", message: `no usable schema: ${messageOf(error)}` }];
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
        : // Where in a secret it is, and what is there, is a part of it; what the schema asks is not.
          { key: task.key, pointer: "", message: `${task.where}the secret "${secret}" breaks ${error.schemaPath}` };
    });
  });
}

/** JSON Schema knows numbers only: a large integer is judged by the nearest one. */
function asNumbers(data: unknown): unknown {
  if (typeof data === "bigint") return Number(data);
  if (Array.isArray(data)) return data.map(asNumbers);
  if (!isTable(data)) return data;
  return Object.fromEntries(Object.entries(data).map(([name, value]) => [name, asNumbers(value)]));
}

type Place = (pointer: string) => { line?: number; column?: number };
const NOWHERE: Place = () => ({});

/** A release as one object. Schemas are no part of what they describe. */
function readAll(items: Items): { value: unknown; place: Place } {
  const values = Object.entries(items).filter(([key]) => !key.endsWith(SCHEMA_SUFFIX) && key !== SET_SCHEMA_KEY);
  return { value: Object.fromEntries(values.map(([key, item]) => [key, asNumbers(readValue(item))])), place: NOWHERE };
}

/** A value as data. YAML and JSON are read with their places; properties are one flat object of texts. */
function read({ format, value }: Item): { value: unknown; place: Place } {
  if (format !== "yaml" && format !== "json") return { value: asNumbers(readValue({ format, value })), place: NOWHERE };
  const lines = new LineCounter();
  const document = parseDocument(value, { ...YAML_OPTIONS, lineCounter: lines, prettyErrors: false });
  return {
    value: asNumbers(dataOf(document)),
    place: (pointer) => {
      const offset = offsetOf(document, pointer);
      if (offset === undefined) return {};
      const { line, col } = lines.linePos(offset);
      return { line, column: col };
    },
  };
}

/** The key of a release whose value an error is about, when that is a secret. */
function secretAt(items: Items | undefined, instancePath: string): string | undefined {
  const [, key = ""] = instancePath.split("/");
  return items && own(items, key)?.secret ? key : undefined;
}

function said(error: ErrorObject): string {
  const { additionalProperty } = error.params as { additionalProperty?: string };
  if (error.keyword === "additionalProperties" && additionalProperty !== undefined)
    return `"${additionalProperty}" is not a known field`;
  const [problem] = schemaProblems([error]);
  return problem?.kind === "value" ? problem.message : (error.message ?? "is not as the schema asks");
}
