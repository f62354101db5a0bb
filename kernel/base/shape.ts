/**
 * Problems with the shape of a value, by JSON pointer, for handwritten texts. The pointer of an unknown field is that of the field
 * itself. The requirements of all members of a union are in one line.
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

/** One problem per place, in order; none for a valid value. A missing field is a problem of the object that lacks it. */
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
