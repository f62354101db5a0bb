/**
 * Whether a value keeps its JSON Schema (2020-12), with line and column where not. The schema of key `app.yaml` is the key
 * `app.yaml.schema.json` beside it in profile `default`, so it is reviewed, released and rolled back like anything else.
 */
import { Ajv2020, type ErrorObject } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { LineCounter, parseDocument } from "yaml";
import { messageOf } from "#base";
import { readValue, YAML_ALIASES_MAX } from "#base/formats";
import { offsetOf } from "#base/yaml";
import type { Item, ReleaseProblem } from "./api.ts";

export const SCHEMA_SUFFIX = ".schema.json";
/** Problems told of one value: people mend the first ones first. */
const PROBLEMS_MAX = 20;

export interface SchemaTask {
  readonly key: string;
  readonly item: Item;
  /** Text of the schema. */
  readonly schema: string;
  /** Said in front of each message, such as the profile that the value is live in. */
  readonly where: string;
}

/** All that is wrong, value by value. Syntax was checked before. */
export function validateBySchema(tasks: readonly SchemaTask[]): ReleaseProblem[] {
  return tasks.flatMap((task) => {
    const ajv = new Ajv2020({ allErrors: true, strict: false, validateFormats: true });
    addFormats.default(ajv);
    let validate;
    try {
      validate = ajv.compile(JSON.parse(task.schema) as object);
    } catch (error) {
      return [{ key: `${task.key}${SCHEMA_SUFFIX}`, pointer: "", message: `no usable schema: ${messageOf(error)}` }];
    }
    const { value, place } = read(task.item);
    if (validate(value)) return [];
    return (validate.errors ?? []).slice(0, PROBLEMS_MAX).map((error) => ({
      key: task.key,
      pointer: error.instancePath,
      message: `${task.where}${said(error)}`,
      ...place(error.instancePath),
    }));
  });
}

type Place = (pointer: string) => { line?: number; column?: number };
const NOWHERE: Place = () => ({});

/** A value as data. YAML and JSON are read with their places. */
function read(item: Item): { value: unknown; place: Place } {
  const { format, value } = item;
  if (format !== "yaml" && format !== "json") return { value: readValue(item), place: NOWHERE };
  const lines = new LineCounter();
  const document = parseDocument(value, { lineCounter: lines, prettyErrors: false, uniqueKeys: true, schema: "core" });
  return {
    value: document.toJS({ maxAliasCount: YAML_ALIASES_MAX }) as unknown,
    place: (pointer) => {
      const offset = offsetOf(document, pointer);
      if (offset === undefined) return {};
      const { line, col } = lines.linePos(offset);
      return { line, column: col };
    },
  };
}

function said({ message = "is not as the schema asks", params, keyword }: ErrorObject): string {
  const { additionalProperty, allowedValues } = params as { additionalProperty?: string; allowedValues?: unknown[] };
  if (keyword === "additionalProperties" && additionalProperty !== undefined)
    return `no member "${additionalProperty}" may be here`;
  if (allowedValues) return `${message}: ${allowedValues.map((value) => JSON.stringify(value)).join(", ")}`;
  return message;
}
