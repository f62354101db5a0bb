/** Comments, messages and documents are written in plain English: no pattern of dialect, and each pattern finds its own. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { projectRoot } from "#test/kit";
import { DIALECT_PATTERNS, dialectIn, plainEnglishPaths } from "../scripts/plain-english.ts";

test("no comment, message or document has a pattern of dialect", () => {
  const paths = plainEnglishPaths(projectRoot);
  expect(paths.length).toBeGreaterThan(500);
  const hits = paths.flatMap((path) => dialectIn(path, readFileSync(join(projectRoot, path), "utf8")));
  expect(hits.map(({ path, line, found, instead }) => `${path}:${line} "${found}": ${instead}`)).toEqual([]);
});

/** A sentence for each pattern. */
const PLANTED = [
  "It reaches whomever is there.",
  "Who sends neither waits.",
  "Stop. What is not there is skipped.",
  "Then nobody is asked.",
  "The client is told so.",
  "It vouches for the peer.",
  "The next start mends it.",
  "It starts anew.",
  "A sick one is left out.",
  "Only an emergency goes past it.",
  "It is sent on wish.",
  "The old one stands.",
  "It lives by its session.",
  "That is no label.",
  "It is no more.",
  "He may write it.",
  "It shall not pass.",
  "This is hearsay.",
  "It ends of its own accord.",
  "The file came by it.",
  "This behaviour is old.",
];

test("each pattern is seen in comments, in messages and in documents, and code is not read", () => {
  expect(PLANTED).toHaveLength(DIALECT_PATTERNS.length);
  for (const [index, sentence] of PLANTED.entries()) {
    const pattern = DIALECT_PATTERNS[index];
    expect(sentence).toMatch(pattern?.pattern ?? /$^/u);
    const found = (path: string, source: string) => dialectIn(path, source).map(({ instead }) => instead);
    expect(found("a.ts", `// ${sentence}`)).toContain(pattern?.instead);
    expect(found("a.ts", `/**\n * ${sentence}\n */`)).toContain(pattern?.instead);
    expect(found("a.ts", `throw new Error("${sentence}");`)).toContain(pattern?.instead);
    expect(found("a.ts", `call(x); // ${sentence}`)).toContain(pattern?.instead);
    expect(found("a.md", `- ${sentence}`)).toContain(pattern?.instead);
    expect(found("a.md", `\`\`\`text\n${sentence}\n\`\`\``)).toEqual([]);
  }
  expect(dialectIn("a.ts", "const nobody = stands.anew(told);")).toEqual([]);
});
