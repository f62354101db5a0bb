/**
 * JSON Schema validation with bounded cost. Clients choose the value, so the cost must stay in proportion to its size:
 * patterns are RE2's, values are compared as texts instead of pairwise, and each use of a subschema is a step, with a limit
 * of steps per byte. The limit also bounds recursive schemas: `oneOf` with two branches down a tree doubles the work at
 * each level.
 */
import { _, Ajv2020, type CodeKeywordDefinition } from "ajv/dist/2020.js";
import { canonicalJson, messageOf, schemaProblems, setOwn } from "#base";
import { regexOf } from "./core/paths/regex.ts";

/** Longest schema as JSON, in characters. */
const SCHEMA_CHARS_MAX = 64 * 1024;
/** Most problems in one answer. */
const PROBLEMS_LISTED_MAX = 5;
/** Steps that every value may use, however small it is: a few milliseconds. */
const STEPS_MIN = 50_000;
/** Enough for a union of thirty schemas for each number in a list of digits. 64 KiB take at most a tenth of a second. */
const STEPS_PER_BYTE = 16;
/** Most steps of any value: up to half a second, in which a gateway does nothing else. */
const STEPS_MAX = 8_000_000;
/** Characters that one step covers. */
const CHARS_PER_STEP = 32;

/** The problems of a value as text; undefined: none. `bytes`: the size of the value. */
export type BoundedCheck = (value: unknown, bytes: number) => string | undefined;

class TooManySteps extends Error {}

class Steps {
  /** Unlimited before `begin`: the schema itself comes from the operator. */
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

/** @throws with the problem of the schema, for the operator to read */
export function compileBounded(schema: Record<string, unknown>, what: string): BoundedCheck {
  if (JSON.stringify(schema).length > SCHEMA_CHARS_MAX)
    throw new Error(`${what}: the schema is longer than ${SCHEMA_CHARS_MAX} characters`);
  const steps = new Steps();
  let validate: ReturnType<Ajv2020["compile"]>;
  try {
    void (metaSchemas ??= new Ajv2020({ strict: false, logger: false, validateFormats: false })).validateSchema(
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
      // A stack overflow: each level of the value needs some levels of the check.
      if (error instanceof RangeError) return "it is nested too deeply";
      throw error;
    }
    return schemaProblems(validate.errors ?? [])
      .slice(0, PROBLEMS_LISTED_MAX)
      .map(({ pointer, message }) => `${pointer === "" ? "it" : pointer} ${message}`)
      .join("; ");
  };
}

/** Checks schemas by their meta-schema. Compiling that takes tens of milliseconds, so all schemas share one instance. */
let metaSchemas: Ajv2020 | undefined;

const STEP = "x-posthouse-step";
const STRING_STEP = "x-posthouse-string-step";

function counting(steps: Steps): Ajv2020 {
  const tester = (pattern: string) => {
    const regex = regexOf(pattern);
    // Patterns of JSON Schema are not anchored.
    return (text: string) => {
      steps.takeChars(text.length);
      return regex.test(text);
    };
  };
  // Ajv caches compiled patterns by their text.
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
  // Before all other keywords of the type, so that a value that fails at once costs a step, too.
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
    const key = comparisonKey(item, steps);
    if (seen.has(key)) return false;
    seen.add(key);
  }
  return true;
}

function isOneOf(values: readonly unknown[], steps: Steps): (value: unknown) => boolean {
  const keys = new Set(values.map((value) => comparisonKey(value, steps)));
  const objects = values.some((value) => typeof value === "object" && value !== null);
  return (value) => (objects || typeof value !== "object" || value === null) && keys.has(comparisonKey(value, steps));
}

/** Equal values have equal keys. Ajv's own comparison would call a `valueOf` that the client sent. */
function comparisonKey(value: unknown, steps: Steps): unknown {
  if (typeof value === "string") return `"${value}`;
  if (typeof value !== "object" || value === null) return value;
  const text = canonicalJson(value);
  steps.takeChars(text.length);
  return text;
}

/** Keywords with subschemas: a single one, a list, or by name. */
const words = (text: string) => new Set(text.split(" "));
const ONE = words(
  "additionalProperties propertyNames items contains not if then else unevaluatedItems unevaluatedProperties",
);
const LIST = words("allOf anyOf oneOf prefixItems");
const NAMED = words("properties patternProperties dependentSchemas $defs definitions");
/** Other keywords that affect validation. All further keywords are annotations and are dropped; references cannot lead into one. */
const PLAIN = new Set([
  ...words("$schema $id $anchor $ref $dynamicAnchor $dynamicRef type nullable const enum required dependentRequired"),
  ...words(
    "multipleOf maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength pattern maxItems minItems",
  ),
  ...words("uniqueItems maxContains minContains maxProperties minProperties"),
]);

/** The same schema, in which each part counts its use, in proportion to its length. */
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
