/**
 * The errors of a JSON Schema validator as sentences for people: one problem per place, with all allowed values. Handles the errors of
 * Ajv and of TypeBox, whose parameters have different names. Every use of a validator goes through here.
 */
import { own } from "./own.ts";

/** The part of a validator's error that is read here. */
export interface SchemaError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly schemaPath: string;
  readonly message?: string | undefined;
  readonly params: object;
  /** With Ajv's `verbose`: the keyword's value, and the schema that has it. */
  readonly schema?: unknown;
  readonly parentSchema?: object | undefined;
}

export interface SchemaProblem {
  /** JSON pointer to the place. For an unknown or missing field, to the field itself. */
  readonly pointer: string;
  readonly kind: "unknown" | "missing" | "value";
  /** Without the place: `must be one of a, b`. */
  readonly message: string;
}

interface Params {
  readonly additionalProperty?: string;
  readonly additionalProperties?: readonly string[];
  readonly missingProperty?: string;
  readonly requiredProperties?: readonly string[];
  readonly allowedValue?: unknown;
  readonly allowedValues?: readonly unknown[];
  readonly type?: string | readonly string[];
  readonly tag?: string;
}

/** Keywords whose errors only repeat an error inside of them, or that of another keyword. */
const OUTER = new Set(["anyOf", "oneOf", "if", "boolean"]);

/** In the order in which places were found. Empty only without errors. */
export function schemaProblems(errors: readonly SchemaError[]): SchemaProblem[] {
  const places = new Map<string, { kind: SchemaProblem["kind"]; errors: SchemaError[]; known?: readonly string[] }>();
  const put = (pointer: string, kind: SchemaProblem["kind"], error: SchemaError, known?: readonly string[]) => {
    const place = places.get(pointer);
    if (place) place.errors.push(error);
    else places.set(pointer, { kind, errors: [error], ...(known ? { known } : {}) });
  };
  const inner = errors.filter(({ keyword }) => !OUTER.has(keyword));
  for (const error of withoutOtherBranches(inner.length > 0 ? inner : errors)) {
    const params = error.params as Params;
    const unknown = params.additionalProperties ?? listOf(params.additionalProperty);
    const missing = params.requiredProperties ?? listOf(params.missingProperty);
    if (error.keyword === "additionalProperties" && unknown.length > 0) {
      const parent: { properties?: object } | undefined = error.parentSchema;
      const known = Object.keys(parent?.properties ?? {});
      for (const name of unknown) put(`${error.instancePath}/${pointerPart(name)}`, "unknown", error, known);
    } else if (error.keyword === "required" && missing.length > 0) {
      for (const name of missing) put(`${error.instancePath}/${pointerPart(name)}`, "missing", error);
    } else if (error.keyword === "discriminator" && params.tag !== undefined) {
      put(`${error.instancePath}/${pointerPart(params.tag)}`, "value", error);
    } else put(error.instancePath, "value", error);
  }
  return [...places].map(([pointer, { kind, errors, known }]) => ({
    pointer,
    kind,
    message: said(pointer, kind, errors, known),
  }));
}

/** One part of a JSON pointer. */
export function pointerPart(part: string): string {
  return part.replaceAll("~", "~0").replaceAll("/", "~1");
}

function listOf(name: string | undefined): readonly string[] {
  return name === undefined ? [] : [name];
}

const UNKNOWN = "is not a known field; remove it or correct its name";

function said(
  pointer: string,
  kind: SchemaProblem["kind"],
  errors: readonly SchemaError[],
  known: readonly string[] = [],
): string {
  const name = (pointer.split("/").at(-1) ?? "").replaceAll("~1", "/").replaceAll("~0", "~");
  if (kind === "unknown") {
    const close = closest(name, known);
    return close === undefined ? UNKNOWN : `is not a known field (did you mean "${close}"?)`;
  }
  if (kind === "missing") return "is missing; add it";
  const allowed = [...new Set(errors.flatMap(allowedBy))];
  const texts = allowed.map((value) => (typeof value === "string" ? value : JSON.stringify(value)));
  const types = new Set(allowed.map(typeOf));
  const others = errors
    .filter((error) => allowedBy(error).length === 0)
    .filter(({ params }) => !types.has(String((params as Params).type)))
    .map(({ message = "does not fit" }) => message);
  const own = allowed.length === 0 ? [] : [`must be ${allowed.length > 1 ? "one of " : ""}${texts.join(", ")}`];
  return [...own, ...new Set(others)].join(", or ");
}

/** The values that an error names as the allowed ones. */
function allowedBy({ keyword, params, schema, parentSchema }: SchemaError): readonly unknown[] {
  const { allowedValue = schema, allowedValues = schema, tag } = params as Params;
  if (keyword === "const") return allowedValue === undefined ? [] : [allowedValue];
  if (keyword === "enum") return Array.isArray(allowedValues) ? allowedValues : [];
  if (keyword !== "discriminator" || tag === undefined) return [];
  const { oneOf = [] } = (parentSchema ?? {}) as {
    oneOf?: { properties?: Record<string, { const?: unknown; enum?: unknown[] }> }[];
  };
  return oneOf.flatMap(({ properties = {} }) => {
    const schema = own(properties, tag);
    return schema?.enum ?? (schema?.const === undefined ? [] : [schema.const]);
  });
}

function typeOf(value: unknown): string {
  return value === null ? "null" : typeof value;
}

/**
 * In a union whose members differ in a fixed value, such as `type`, only the errors of the intended member matter: every other member
 * has an error at its constant.
 */
function withoutOtherBranches(errors: readonly SchemaError[]): readonly SchemaError[] {
  const unions = new Map<string, SchemaError[]>();
  for (const error of errors) {
    for (const { union } of branchesOf(error.schemaPath)) unions.set(union, [...(unions.get(union) ?? []), error]);
  }
  const ruledOut = new Set<string>();
  for (const [union, inside] of unions) {
    // A constant at the value itself is a choice among several. A constant further inside identifies a member.
    const depth = Math.min(...inside.map(({ instancePath }) => instancePath.length));
    const sides = new Map<string, boolean>();
    for (const { schemaPath, keyword, instancePath } of inside) {
      const side = branchesOf(schemaPath).find((one) => one.union === union)?.branch ?? union;
      const isOther = (keyword === "const" || keyword === "enum") && instancePath.length > depth;
      sides.set(side, (sides.get(side) ?? false) || isOther);
    }
    if ([...sides.values()].every(Boolean)) continue;
    for (const [side, isOther] of sides) if (isOther) ruledOut.add(side);
  }
  return errors.filter(({ schemaPath }) => branchesOf(schemaPath).every(({ branch }) => !ruledOut.has(branch)));
}

/** The unions on a schema's path, and their members. */
function branchesOf(schemaPath: string): { union: string; branch: string }[] {
  return [...schemaPath.matchAll(/\/(?:anyOf|oneOf)\/\d+/g)].map(({ index, 0: text }) => ({
    union: schemaPath.slice(0, index),
    branch: schemaPath.slice(0, index + text.length),
  }));
}

/** Letters in which a mistyped word may differ at most, and fewer than half of it. */
const EDITS_MAX = 2;

/** The known word that is most likely meant. */
export function closest(word: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, edits: editsBetween(word.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, edits }) => edits <= Math.min(EDITS_MAX, Math.floor(candidate.length / 2)))
    .sort((a, b) => a.edits - b.edits);
  return ranked[0]?.candidate;
}

/** Levenshtein's distance. */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
