/** JSON (RFC 8259). */
import { type ParseError, parseTree } from "jsonc-parser";
import { jsonShapeProblem } from "#base";
import { NESTING_MAX, readValue } from "#base/formats";
import { doubleMember } from "#base/plain-json";
import { fillPlaces, inQuotes, type Place } from "./fill-in.ts";
import { TOO_DEEP, unsound } from "./problems.ts";
import type { FormatProblem, ValueFormat } from "./value-format.ts";
import { readPlacedYaml } from "./yaml.ts";

export const json: ValueFormat = {
  speed: 32,
  check(value) {
    // Before the parser starts: a megabyte of brackets takes it a second.
    if (jsonShapeProblem(new TextEncoder().encode(value), { depthMax: NESTING_MAX + 1, partsMax: Infinity }))
      return TOO_DEEP;
    try {
      const problem = unsound(readValue({ format: "json", value }));
      return problem ?? doubled(value);
    } catch (error) {
      // V8 does not always give the place of an error; this parser does.
      const errors: ParseError[] = [];
      try {
        parseTree(value, errors, { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false });
      } catch {
        // The value nests deeper than that parser can read; the message of V8 must do.
      }
      const [first] = errors;
      return { message: (error as Error).message, ...(first ? place(value, first.offset) : {}) };
    }
  },
  fillIn: (value, fill) =>
    fillPlaces(value, fill, stringsOf(value), { format: "json", comma: ",", is: ":", null: "null" }),
  // JSON is a subset of YAML, whose parser knows the places.
  readPlaced: readPlacedYaml,
};

function stringsOf(text: string): Place[] {
  return [...text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?/g)].flatMap((found): Place[] => {
    if (found[1] !== undefined || !found[0].includes("${")) return [];
    const [start, end] = [found.index, found.index + found[0].length];
    return [{ start, end, value: JSON.parse(found[0]) as string, write: inQuotes, read: JSON.parse }];
  });
}

/** Parsers silently keep one of two equal members, and not all keep the same one. */
function doubled(value: string): FormatProblem | undefined {
  const found = doubleMember(value, NESTING_MAX + 1);
  if (!found) return undefined;
  return {
    message: `the member "${found.name}" appears twice in one object; remove one`,
    ...place(value, found.offset),
  };
}

function place(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset).split("\n");
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}
