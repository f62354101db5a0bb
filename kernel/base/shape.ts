/**
 * What is wrong with the shape of a value, in words and by JSON pointer, for texts that people write by hand. An unknown
 * field is pointed at itself, not at its holder; what each side of a union asks for stands in one line.
 */
import type { TSchema } from "typebox";
import { Value } from "typebox/value";
import { schemaProblems } from "./schema-problems.ts";

export { pointerPart } from "./schema-problems.ts";

export interface ShapeProblem {
  /** JSON pointer into the value. */
  readonly pointer: string;
  readonly message: string;
}

/** One problem per place, in order; none when the value is what the schema asks. What is missing is said at its holder. */
export function shapeProblems(schema: TSchema, value: unknown): ShapeProblem[] {
  const problems: ShapeProblem[] = [];
  const missing = new Map<string, string[]>();
  for (const { pointer, kind, message } of schemaProblems(Value.Errors(schema, value))) {
    const holder = pointer.slice(0, pointer.lastIndexOf("/"));
    const name = pointer
      .slice(holder.length + 1)
      .replaceAll("~1", "/")
      .replaceAll("~0", "~");
    if (kind === "unknown") problems.push({ pointer, message: `Unknown field "${name}".` });
    else if (kind === "value") problems.push({ pointer, message: sentence(message) });
    else {
      const names = missing.get(holder) ?? [];
      if (names.length === 0) problems.push({ pointer: holder, message: "" });
      missing.set(holder, [...names, `"${name}"`]);
    }
  }
  return problems.map(({ pointer, message }) =>
    message === "" ? { pointer, message: `Missing: ${missing.get(pointer)?.join(", ")}.` } : { pointer, message },
  );
}

function sentence(clause: string): string {
  return `${clause.slice(0, 1).toUpperCase()}${clause.slice(1)}.`;
}
