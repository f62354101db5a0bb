/**
 * A JSON Schema whose check ends soon, whatever the value. Callers choose the value, so nothing may cost more than in
 * proportion to it: patterns are RE2's, values are compared as texts, and not all with all, and each
 * use of a subschema is a step, of which there are so many for each byte. That is what bounds schemas that refer to
 * themselves: of `oneOf` over two ways down a tree, each level doubles the work.
 */
import { _, Ajv2020, type CodeKeywordDefinition } from "ajv/dist/2020.js";
import { canonicalJson, messageOf, schemaProblems, setOwn } from "#base";
import { regexOf } from "./core/paths/regex.ts";

/** Characters of a schema as JSON. */
const SCHEMA_CHARS_MAX = 64 * 1024;
/** Problems that a caller is told at once. */
const PROBLEMS_TOLD_MAX = 5;
/** Steps of any value, a few milliseconds, however small it is. */
const STEPS_MIN = 50_000;
/** A union of thirty, for each number of a list of digits: 64 KiB take a tenth of a second at the most. */
const STEPS_PER_BYTE = 16;
/** Steps of the largest value: up to half a second, in which a gateway does nothing else. */
const STEPS_MAX = 8_000_000;
/** Characters that are looked at in a step. */
const CHARS_PER_STEP = 32;

/** What is wrong with a value of so many bytes, in words; undefined: nothing. */
export type BoundedCheck = (value: unknown, bytes: number) => string | undefined;

class TooManySteps extends Error {}

class Steps {
  /** The check of the schema itself, by its own schema, is the operator's. */
  #left = Infinity;

  begin(bytes: number): void {
    this.#left = Math.min(STEPS_MAX, STEPS_MIN + bytes * STEPS_PER_BYTE);
  }

  take(count: number): void {
    this.#left -= count;
    if (this.#left < 0) throw new TooManySteps();
  }

  takeChars(chars: number): void {
    this.take(1 + Math.floor(chars / CHARS_PER_STEP));
  }
}

/** @throws what is wrong with the schema, for the operator to read */
export function compileBounded(schema: Record<string, unknown>, what: string): BoundedCheck {
  if (JSON.stringify(schema).length > SCHEMA_CHARS_MAX)
    throw new Error(`${what}: the schema is longer than ${SCHEMA_CHARS_MAX} characters`);
  const steps = new Steps();
  let validate: ReturnType<Ajv2020["compile"]>;
  try {
    (metaSchemas ??= new Ajv2020({ strict: false, logger: false, validateFormats: false })).validateSchema(
      schema,
      true,
    );
    validate = counting(steps).compile(counted(schema) as object);
  } catch (error) {
    throw new Error(`${what}: ${messageOf(error)}`, { cause: error });
  }
  return (value, bytes) => {
    steps.begin(bytes);
    try {
      if (validate(value)) return undefined;
    } catch (error) {
      if (error instanceof TooManySteps) return "it takes too many steps to check";
      // The stack ends: each level of the value is some of the check's.
      if (error instanceof RangeError) return "it is nested too deeply";
      throw error;
    }
    return schemaProblems(validate.errors ?? [])
      .slice(0, PROBLEMS_TOLD_MAX)
      .map(({ pointer, message }) => `${pointer === "" ? "it" : pointer} ${message}`)
      .join("; ");
  };
}

/** Checks schemas by their meta-schema. To compile that takes tens of milliseconds, so one does it for all schemas. */
let metaSchemas: Ajv2020 | undefined;

const STEP = "x-posthouse-step";
const STRING_STEP = "x-posthouse-string-step";

function counting(steps: Steps): Ajv2020 {
  const tester = (pattern: string) => {
    const regex = regexOf(pattern);
    // JSON Schema's patterns are not anchored.
    return (text: string) => {
      steps.takeChars(text.length);
      return regex.test(text);
    };
  };
  // Ajv keeps compiled patterns by what they are as a text.
  const regExp = Object.assign((pattern: string) => ({ test: tester(pattern), toString: () => pattern }), { code: "" });
  const ajv = new Ajv2020({
    strict: false,
    allErrors: false,
    code: { regExp },
    logger: false,
    validateFormats: false,
    validateSchema: false,
    verbose: true,
  });
  for (const own of ["uniqueItems", "const", "enum"]) ajv.removeKeyword(own);
  ajv.addKeyword({
    keyword: "uniqueItems",
    type: "array",
    schemaType: "boolean",
    error: { message: "must NOT have duplicate items" },
    validate: (asked: boolean, items: readonly unknown[]) => !asked || isUnique(items, steps),
  });
  ajv.addKeyword({
    keyword: "const",
    error: { message: "must be equal to constant" },
    compile: (value: unknown) => isOneOf([value], steps),
  });
  ajv.addKeyword({
    keyword: "enum",
    schemaType: "array",
    error: { message: "must be equal to one of the allowed values" },
    compile: (values: readonly unknown[]) => isOneOf(values, steps),
  });
  // Before all others of their kind: what fails at once has cost a step, too.
  const first = (type: string | undefined) => ajv.RULES.rules.find((group) => group.type === type)?.rules[0]?.keyword;
  ajv.addKeyword({
    ...stepping((value, weight) => {
      const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
      steps.take(isObject ? weight + Object.keys(value).length : weight);
    }),
    keyword: STEP,
    ...before(first(undefined)),
  });
  ajv.addKeyword({
    ...stepping((value: string) => steps.takeChars(value.length)),
    keyword: STRING_STEP,
    type: "string",
    ...before(first("string")),
  });
  return ajv;
}

function before(keyword: string | undefined): { before?: string } {
  return keyword === undefined ? {} : { before: keyword };
}

function stepping(step: (value: never, weight: number) => void): Omit<CodeKeywordDefinition, "keyword"> {
  return {
    schemaType: "number",
    code({ gen, data, schema }) {
      gen.code(_`${gen.scopeValue("func", { ref: step })}(${data}, ${schema as number})`);
    },
  };
}

function isUnique(items: readonly unknown[], steps: Steps): boolean {
  const seen = new Set<unknown>();
  for (const item of items) {
    const key = keyOf(item, steps);
    if (seen.has(key)) return false;
    seen.add(key);
  }
  return true;
}

function isOneOf(values: readonly unknown[], steps: Steps): (value: unknown) => boolean {
  const keys = new Set(values.map((value) => keyOf(value, steps)));
  const objects = values.some((value) => typeof value === "object" && value !== null);
  return (value) => (objects || typeof value !== "object" || value === null) && keys.has(keyOf(value, steps));
}

/** Equal values, equal keys. Ajv's own comparison calls `valueOf` of what a caller sent. */
function keyOf(value: unknown, steps: Steps): unknown {
  if (typeof value === "string") return `"${value}`;
  if (typeof value !== "object" || value === null) return value;
  const text = canonicalJson(value);
  steps.takeChars(text.length);
  return text;
}

/** Where subschemas stand: one, a list, by name. */
const words = (text: string) => new Set(text.split(" "));
const ONE = words(
  "additionalProperties propertyNames items contains not if then else unevaluatedItems unevaluatedProperties",
);
const LIST = words("allOf anyOf oneOf prefixItems");
const NAMED = words("properties patternProperties dependentSchemas $defs definitions");
/** What else takes part in a check. All other words are notes, and left out: no reference leads into one. */
const PLAIN = new Set([
  ...words("$schema $id $anchor $ref $dynamicAnchor $dynamicRef type nullable const enum required dependentRequired"),
  ...words(
    "multipleOf maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength pattern maxItems minItems",
  ),
  ...words("uniqueItems maxContains minContains maxProperties minProperties"),
]);

/** The same schema, every part of which counts its use; the more is written in it, the more. */
function counted(schema: unknown): unknown {
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) return schema;
  const made: Record<string, unknown> = {};
  let chars = 0;
  for (const [keyword, value] of Object.entries(schema) as [string, unknown][]) {
    if (ONE.has(keyword)) setOwn(made, keyword, counted(value));
    else if (LIST.has(keyword)) setOwn(made, keyword, Array.isArray(value) ? value.map(counted) : value);
    else if (NAMED.has(keyword) && typeof value === "object" && value !== null) {
      const named = Object.entries(value).map(([name, one]) => [name, counted(one)] as const);
      setOwn(made, keyword, Object.fromEntries(named));
      if (!keyword.startsWith("$") && keyword !== "definitions") chars += Object.keys(value).join().length;
    } else if (NAMED.has(keyword) || PLAIN.has(keyword)) {
      setOwn(made, keyword, value);
      chars += JSON.stringify(value).length;
    }
  }
  return { ...made, [STEP]: 1 + Math.floor(chars / CHARS_PER_STEP), [STRING_STEP]: 1 };
}
