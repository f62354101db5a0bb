/** Names of fields and fixed values that a JSON Schema allows at a path, for completion. */

export type JsonSchema = Readonly<Record<string, unknown>>;

export interface FieldHint {
  readonly name: string;
  readonly type: string;
  readonly description: string;
  readonly isRequired: boolean;
}

/** Fields of the object at a path; `*` in a path is an element of a list. */
export function fieldsAt(root: JsonSchema, path: readonly string[]): FieldHint[] {
  const hints = new Map<string, FieldHint>();
  for (const schema of schemasAt(root, path)) {
    const required = Array.isArray(schema["required"]) ? schema["required"] : [];
    for (const [name, field] of Object.entries(tableOf(schema["properties"]))) {
      const known = alternatives(root, tableOf(field));
      const type = [...new Set(known.map(typeOf).filter((word) => word !== ""))].join(" | ");
      const description = known.map((schema) => schema["description"]).find((words) => typeof words === "string") ?? "";
      hints.set(name, { name, type, description, isRequired: required.includes(name) });
    }
  }
  return [...hints.values()];
}

/** Values that the schema lists for a field: constants, enumerations, booleans. */
export function valuesAt(root: JsonSchema, path: readonly string[]): string[] {
  const values = schemasAt(root, path).flatMap((schema): unknown[] => {
    if ("const" in schema) return [schema["const"]];
    if (Array.isArray(schema["enum"])) return schema["enum"];
    return schema["type"] === "boolean" ? [true, false] : [];
  });
  return [...new Set(values.map((value) => (typeof value === "string" ? value : JSON.stringify(value))))];
}

function schemasAt(root: JsonSchema, path: readonly string[]): JsonSchema[] {
  let at = alternatives(root, root);
  for (const name of path)
    at = at.flatMap((schema) => childOf(schema, name)).flatMap((child) => alternatives(root, child));
  return at;
}

function childOf(schema: JsonSchema, name: string): JsonSchema[] {
  if (name === "*") return isTable(schema["items"]) ? [schema["items"]] : [];
  const field = tableOf(schema["properties"])[name];
  if (isTable(field)) return [field];
  const matching = Object.entries(tableOf(schema["patternProperties"])).filter(([pattern]) => matches(pattern, name));
  const found = matching.map(([, child]) => child).filter(isTable);
  if (found.length > 0) return found;
  return isTable(schema["additionalProperties"]) ? [schema["additionalProperties"]] : [];
}

/** The schema itself and all that it refers to or combines, each once, since references may be circular. */
function alternatives(root: JsonSchema, schema: JsonSchema, seen = new Set<JsonSchema>()): JsonSchema[] {
  if (seen.has(schema)) return [];
  seen.add(schema);
  const reference = schema["$ref"];
  const target = typeof reference === "string" ? referred(root, reference) : undefined;
  const combined = ["allOf", "anyOf", "oneOf"].flatMap((word) => (Array.isArray(schema[word]) ? schema[word] : []));
  const parts = [...(target ? [target] : []), ...combined.filter(isTable)];
  return [schema, ...parts.flatMap((part) => alternatives(root, part, seen))];
}

/** `#/$defs/Name`, or the `$id` or name of a definition. */
function referred(root: JsonSchema, reference: string): JsonSchema | undefined {
  if (!reference.startsWith("#")) {
    const found = tableOf(root["$defs"])[reference];
    return isTable(found) ? found : undefined;
  }
  let at: unknown = root;
  for (const part of reference.slice(1).split("/").filter(Boolean)) {
    at = tableOf(at)[decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~")];
  }
  return isTable(at) ? at : undefined;
}

function typeOf(schema: JsonSchema): string {
  const type = schema["type"];
  if (Array.isArray(type)) return type.join(" | ");
  if (typeof type === "string") return type;
  return "const" in schema ? JSON.stringify(schema["const"]) : "";
}

function matches(pattern: string, name: string): boolean {
  try {
    return new RegExp(pattern, "u").test(name);
  } catch {
    return false;
  }
}

function isTable(value: unknown): value is JsonSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function tableOf(value: unknown): JsonSchema {
  return isTable(value) ? value : {};
}
