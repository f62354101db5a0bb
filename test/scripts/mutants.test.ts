/** The faults that `npm run mutate` plants: which ones, where, and what it leaves alone. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { projectRoot } from "#test/kit";
import { mutantsOf, mutated } from "../../scripts/mutation/mutants.ts";
import { TestIndex } from "../../scripts/mutation/tests.ts";

/** Each mutant of a text, as the text with it. */
function all(text: string): string[] {
  return mutantsOf(text).map((mutant) => mutated(text, mutant));
}

test.each([
  ["f(a < b);", [";", "f(a <= b);"]],
  ["const x = a === b;", ["const x = a !== b;"]],
  ["const x = a && b || c;", ["const x = a || b || c;", "const x = a && b && c;"]],
  ["const x = !a;", ["const x = !!a;"]],
  ["const x = a /* < */ >= b;", ["const x = a /* < */ > b;"]],
  ["const x = (a) - (b);", ["const x = (a) + (b);"]],
  ["if (a) b();", ["if (!(a)) b();", "if (a) ;"]],
  ["if (a !== b) c();", ["if (a === b) c();", "if (a !== b) ;"]],
  ["const x = a ? 0 : 60;", ["const x = !(a) ? 0 : 60;", "const x = a ? 1 : 60;", "const x = a ? 0 : (2 * 60);"]],
  ["const x = true;", ["const x = false;"]],
  ["for (const a of b) { if (c > a) continue; d++; }", 5],
  ["function f() { return; }", ["function f() { ; }"]],
  ["if (a) throw new Error(`${b + 1}`);", ["if (!(a)) throw new Error(`${b + 1}`);", "if (a) ;"]],
])("%s", (text, expected) => {
  if (typeof expected === "number") expect(all(text)).toHaveLength(expected);
  else expect(all(text).sort()).toEqual([...expected].sort());
});

test.each([
  "// a < b && c",
  "/** if (a) b(); */",
  "type A = { readonly a: 1; b: true } | (C extends 0 ? 1 : 2);",
  "interface A { readonly size: 12 }",
  'import { a } from "./a.ts";',
  'const x = "1 < 2" + y;',
  "const x = `${a - 1} of ${b && c}`;",
  "const x = { message: a > b ? 1 : 2, 3: y };",
  "const x = y as 1 | 2;",
  "const x = new Map<string, 0 | 1>();",
  'x += "more";'.replace("x +=", "const z = y +"),
])("nothing is made of %s", (text) => {
  expect(all(text)).toEqual([]);
});

test("a mutant names its place, and every one of a real core changes its text and nothing else", () => {
  expect(mutantsOf("const a = 1;\n\nconst b = a > 3;\n").map(({ kind, line }) => [kind, line])).toEqual([
    ["constant", 1],
    ["comparison", 3],
    ["constant", 3],
  ]);
  const path = join(projectRoot, "dns/core/order.ts");
  const text = readFileSync(path, "utf8");
  const mutants = mutantsOf(text);
  expect(mutants.length).toBeGreaterThan(20);
  expect(new Set(mutants.map((one) => mutated(text, one))).size).toBe(mutants.length);
  for (const { before, start, line } of mutants) {
    expect(text.startsWith(before, start)).toBe(true);
    expect(text.slice(0, start).split("\n").length).toBe(line);
  }
  expect(mutantsOf(text)).toEqual(mutants);
});

test("every core has tests that reach each of its files", () => {
  const index = new TestIndex(projectRoot);
  for (const path of globSync("{*,kernel/*}/core/**/*.ts", { cwd: projectRoot })) {
    const folder = /([^/]+)\/core\//.exec(path)?.[1] as string;
    const tests = index.testsOf(path, `test/${folder}`);
    // A file of types alone has nothing to test.
    if (mutantsOf(readFileSync(join(projectRoot, path), "utf8")).length > 0)
      expect([path, tests.length > 0]).toEqual([path, true]);
  }
  expect(index.testsOf("quotas/core/ledger.ts", "test/quotas").map(({ path, distance }) => [distance, path])).toEqual([
    [1, "test/quotas/exact.test.ts"],
    [1, "test/quotas/ledger.test.ts"],
    [2, "test/quotas/quotas.test.ts"],
  ]);
});

test("a test that is called as a source file is nearest to it, by whatever way it reaches it", () => {
  const tests = new TestIndex(projectRoot).testsOf("gateway/core/check/route.ts", "test/gateway");
  const own = tests.find(({ path }) => path === "test/gateway/core/check/route.test.ts");
  expect(own?.distance).toBe(1);
  expect(tests.filter(({ distance }) => distance > 1).length).toBeGreaterThan(0);
});
