/** The data that values are read as: its depth, its members, and the value at a path. */
import { Literal } from "../literal.ts";
import { ownMember } from "../own.ts";

/** Depth of lists and objects, so that readers of a value may use recursion. */
export const NESTING_MAX = 100;

/** Whether data nests deeper than that, or contains itself. */
export function nestsTooDeep(data: unknown): boolean {
  let level: unknown[] = [data];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > NESTING_MAX) return true;
    // An alias is one object in many places, and is examined once per level.
    const next = new Set<unknown>();
    for (const one of level) {
      if (typeof one !== "object" || one === null || one instanceof Date || one instanceof Literal) continue;
      for (const inner of Object.values(one)) if (typeof inner === "object" && inner !== null) next.add(inner);
    }
    level = [...next];
  }
  return false;
}

/** The value at a path of member names and list indices; undefined when there is none. */
export function valueAt(data: unknown, path: readonly string[]): unknown {
  let value = data;
  for (const part of path) {
    if (Array.isArray(value)) value = /^\d+$/.test(part) ? (value[Number(part)] as unknown) : undefined;
    else if (ArrayBuffer.isView(value) || value instanceof Literal) return undefined;
    else value = ownMember(value, part);
  }
  return value;
}

/** Whether a value has named members. */
export function isTable(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Date) &&
    !(value instanceof Literal) &&
    !ArrayBuffer.isView(value)
  );
}
