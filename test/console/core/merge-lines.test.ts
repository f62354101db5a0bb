/** Merging two changes of one text. */
import { expect, test } from "vitest";
import { mergeLines } from "../../../console/pages/config/core/merge-lines.ts";

const BASE = "a: 1\nb: 2\nc: 3\nd: 4\ne: 5\n";

test.each([
  [
    "changes of different lines",
    BASE.replace("b: 2", "b: 9"),
    BASE.replace("d: 4", "d: 8"),
    "a: 1\nb: 9\nc: 3\nd: 8\ne: 5\n",
  ],
  [
    "an addition and a removal",
    BASE.replace("b: 2\n", "b: 2\nb2: 2\n"),
    BASE.replace("d: 4\n", ""),
    "a: 1\nb: 2\nb2: 2\nc: 3\ne: 5\n",
  ],
  ["equal changes", BASE.replace("b: 2", "b: 9"), BASE.replace("b: 2", "b: 9"), BASE.replace("b: 2", "b: 9")],
  [
    "equal changes beside another",
    BASE.replace("b: 2", "b: 9"),
    BASE.replace("b: 2", "b: 9").replace("e: 5", "e: 6"),
    "a: 1\nb: 9\nc: 3\nd: 4\ne: 6\n",
  ],
  ["only theirs", BASE, `${BASE}f: 6\n`, `${BASE}f: 6\n`],
  ["only mine", `${BASE}f: 6\n`, BASE, `${BASE}f: 6\n`],
  ["a start and an end", `# top\n${BASE}`, `${BASE}# end\n`, `# top\n${BASE}# end\n`],
  [
    "changes of lines beside each other",
    BASE.replace("b: 2", "b: 9"),
    BASE.replace("c: 3", "c: 8\nc2: 8"),
    "a: 1\nb: 9\nc: 8\nc2: 8\nd: 4\ne: 5\n",
  ],
  ["the same in the other order", BASE.replace("c: 3\n", ""), BASE.replace("b: 2", "b: 9"), "a: 1\nb: 9\nd: 4\ne: 5\n"],
])("%s fit together", (_name, mine, theirs, merged) => {
  expect(mergeLines(BASE, mine, theirs)).toBe(merged);
});

test.each([
  ["the same line", BASE.replace("b: 2", "b: 9"), BASE.replace("b: 2", "b: 8")],
  ["a removed line", BASE.replace("b: 2\n", ""), BASE.replace("b: 2", "b: 8")],
  ["additions at one place", `${BASE}x\n`, `${BASE}y\n`],
])("%s cannot be merged", (_name, mine, theirs) => {
  expect(mergeLines(BASE, mine, theirs)).toBeUndefined();
});

test("texts that share little and are long are not compared", () => {
  const lines = (word: string) => Array.from({ length: 3000 }, (_, index) => `${word} ${index}`).join("\n");
  expect(mergeLines(lines("a"), lines("b"), lines("c"))).toBeUndefined();
});
