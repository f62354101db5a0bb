/** Differences: a diff gives both sides back, whatever they are. */
import { array, assert, constantFrom, property } from "fast-check";
import { expect, test } from "vitest";
import { diffItems, diffLines } from "../../config-server/core/diff.ts";

test.each([
  ["a\nb\nc", "a\nc", [" a", "-b", " c"]],
  ["a\nc", "a\nb\nc", [" a", "+b", " c"]],
  ["a\nb", "a\nB", [" a", "-b", "+B"]],
  ["", "a", ["-", "+a"]],
  ["same", "same", [" same"]],
])("%j to %j", (before, after, lines) => {
  expect(diffLines(before, after)).toEqual(lines);
});

test("the lines that stayed and went are what was, those that stayed and came what is; and no shorter answer is missed", () => {
  const text = array(constantFrom("a", "b", "c", ""), { maxLength: 12 }).map((lines) => lines.join("\n"));
  assert(
    property(text, text, (before, after) => {
      const lines = diffLines(before, after);
      const side = (mark: string) =>
        lines.filter((line) => line.startsWith(" ") || line.startsWith(mark)).map((line) => line.slice(1));
      expect(side("-").join("\n")).toBe(before);
      expect(side("+").join("\n")).toBe(after);
      expect(lines.filter((line) => line.startsWith(" "))).toHaveLength(common(before.split("\n"), after.split("\n")));
    }),
  );
});

/** Lines that two texts have in common, in order; by the definition, slowly. */
function common(a: readonly string[], b: readonly string[]): number {
  let row = Array.from({ length: b.length + 1 }, () => 0);
  for (const line of a) {
    const next = [0];
    for (const [j, other] of b.entries()) {
      next.push(line === other ? (row[j] as number) + 1 : Math.max(row[j + 1] as number, next[j] as number));
    }
    row = next;
  }
  return row.at(-1) as number;
}

test("values too long to compare line by line are compared as a whole", () => {
  const many = (word: string) => Array.from({ length: 5_000 }, (_, i) => `${word} ${i}`).join("\n");
  const lines = diffLines(many("a"), many("b"));
  expect(lines).toHaveLength(10_000);
  expect(lines[0]).toBe("-a 0");
});

test("a change of format alone is a change", () => {
  const before = { k: { format: "text" as const, value: "1" } };
  const after = { k: { format: "json" as const, value: "1" } };
  expect(diffItems(before, after)).toMatchObject([{ key: "k", kind: "changed" }]);
  expect(diffItems(before, before)).toEqual([]);
});
