/** The console's own rules: pages, imports, design tokens, texts and size. Each rule notices a planted violation. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { projectRoot } from "../kit/mod.ts";
import { type Bundle, budgetProblems, builtBundle, kilobytes, loadedWith, sizesOf } from "./bundle-kit.ts";
import {
  externalUrls,
  heavyProblems,
  layerProblems,
  outsideImportProblems,
  pageTableProblems,
  type Sources,
  tokenProblems,
  untranslatedTexts,
} from "./rules-kit.ts";

const REAL: Sources = new Map(
  globSync("console/**/*.{ts,tsx,css,html}", { cwd: projectRoot })
    .filter((path) => !path.endsWith("vite.config.ts"))
    .map((path) => [path, readFileSync(join(projectRoot, path), "utf8")]),
);
/** Words that are the same in Chinese: names of products, protocols and measures, as engineers write them. */
const SAME_IN_CHINESE = new Set([
  "Agent",
  "ID",
  "URL",
  "Node {}",
  "etcd",
  "gRPC",
  "Cookie",
  "Schema",
  "Profile",
  "YAML",
]);
/** The real sources with one more file, or another text of one. */
const planted = (path: string, text: string): Sources => new Map([...REAL, [path, text]]);
const only = (path: string, text: string): Sources => new Map([[path, text]]);

describe("each page is a folder and a row", () => {
  test("as it is", () => expect(pageTableProblems(REAL)).toEqual([]));
  test("a folder without a row, and a row without a folder", () => {
    expect(pageTableProblems(planted("console/pages/extra/page.tsx", ""))).toEqual([
      "pages/extra has no row in console/pages/mod.ts",
      "pages/extra has no page.tsx or no text.ts",
    ]);
    const table = REAL.get("console/pages/mod.ts")?.replace("./locks/page.tsx", "./gone/page.tsx") ?? "";
    expect(pageTableProblems(planted("console/pages/mod.ts", table))).toEqual([
      "pages/locks has no row in console/pages/mod.ts",
      "console/pages/mod.ts: pages/gone does not exist",
    ]);
  });
});

describe("from outside, only types of contracts", () => {
  test("as it is", () => expect(outsideImportProblems(REAL)).toEqual([]));
  test.each([
    ['import { ROLES } from "#access/api";', "#access/api is imported as a value"],
    ['import type { Access } from "#access";', "#access is not a contract"],
    ['export { VERSION } from "../server/version.ts";', "../server/version.ts is outside"],
    ['export type Role = import("../kernel/http/mod.ts").Role;', "../kernel/http/mod.ts is outside"],
  ])("%s", (text, problem) => {
    expect(outsideImportProblems(only("console/x.ts", text))).toEqual([`console/x.ts: ${problem}`]);
  });
});

describe("shared parts know no page, and no page knows another", () => {
  test("as it is", () => expect(layerProblems(REAL)).toEqual([]));
  test.each([
    ["console/components/x.tsx", "../pages/locks/text.ts", "imports console/pages/locks/text.ts"],
    ["console/data/x.ts", "../pages/mod.ts", "imports console/pages/mod.ts"],
    ["console/pages/access/x.ts", "../locks/text.ts", "imports the page locks"],
  ])("%s: %s", (path, specifier, problem) => {
    expect(layerProblems(only(path, `import { a } from "${specifier}";`))).toEqual([`${path}: ${problem}`]);
  });
});

describe("heavy libraries are loaded when they are first shown", () => {
  test("as it is", () => expect(heavyProblems(REAL)).toEqual([]));
  test("a static import, also behind another file", () => {
    expect(heavyProblems(planted("console/components/x.tsx", 'import uPlot from "uplot";'))).toEqual([
      "console/components/x.tsx: reaches uplot",
    ]);
    const indirect = planted("console/components/x.tsx", 'import { drawChart } from "./chart-plot.ts";');
    expect(heavyProblems(indirect)).toEqual(["console/components/x.tsx: reaches uplot"]);
  });
});

describe("colors, sizes of type and shadows are named", () => {
  test("as it is", () => expect(tokenProblems(REAL)).toEqual([]));
  test.each([
    ["x.css", "a { color: #fff; }", "raw color"],
    ["x.css", "a {\n  background: rgb(0 0 0 / 10%);", "raw color"],
    ["x.css", "a {\n  font-size: 13px;", "raw font-size"],
    ["x.css", "a {\n  font: 600 1rem sans-serif;", "raw font"],
    ["x.css", "a {\n  box-shadow: 0 1px 2px black;", "raw box-shadow"],
    ["x.tsx", 'const style = { color: "#ff0000" };', "raw color"],
  ])("%s: %s", (name, text, problem) => {
    const found = tokenProblems(only(`console/pages/locks/${name}`, text));
    expect(found).toEqual([expect.stringContaining(problem) as string]);
  });
});

describe("Chinese texts are Chinese", () => {
  test("as it is", () => expect(untranslatedTexts(REAL, SAME_IN_CHINESE)).toEqual([]));
  test("a text that stayed English, plain or with a value", () => {
    const text = 'defineText({ a: "Save", b: (n) => `${n} rows` }, { a: "Save", b: (n) => `${n} rows` })';
    expect(untranslatedTexts(new Map([["console/x.ts", text]]), new Set())).toEqual([
      "console/x.ts: Save",
      "console/x.ts: {} rows",
    ]);
  });
});

describe("what is built", () => {
  let bundle: Bundle;
  beforeAll(async () => void (bundle = await builtBundle()), 120_000);

  test("is within its budgets", () => {
    const sizes = sizesOf(bundle);
    console.log(
      "sizes of the console in kB, gzip:",
      Object.entries(sizes)
        .map(([name, kB]) => `${name} ${kB.toFixed(1)}`)
        .join(", "),
    );
    expect(budgetProblems(sizes)).toEqual([]);
    // The heavy parts are files of their own, so the first load has none of them.
    for (const name of ["charts", "graph", "editor"] as const) expect(sizes[name], name).toBeGreaterThan(5);
  });

  test("a budget that is exceeded is named", () => {
    expect(budgetProblems({ first: 45.1, charts: 25, graph: 0, editor: 126, page: 15, all: 383 })).toEqual([
      "first: 45.1 kB of 45",
      "editor: 126.0 kB of 125",
    ]);
  });

  test("what a file loads is counted with it, once", () => {
    const file = (name: string, imports: string[]) =>
      [name, { name, text: name.repeat(9000), sources: [], imports }] as const;
    const small: Bundle = new Map([file("a", ["b", "c"]), file("b", ["c"]), file("c", ["a"]), file("d", [])]);
    expect([...loadedWith(small, ["b"])].sort()).toEqual(["a", "b", "c"]);
    expect(kilobytes(small, ["a", "b"])).toBeCloseTo(2 * kilobytes(small, ["a"]), 1);
  });

  test("names no place beyond its own server", () => {
    expect(externalUrls(new Map([...bundle].map(([name, { text }]) => [name, text])))).toEqual([]);
    const text = 'a("http://www.w3.org/2000/svg"); b(`https://cdn.evil.test/x.js`); url(http://fonts.test:80/a)';
    expect(externalUrls(new Map([["x.js", text]]))).toEqual([
      "x.js: https://cdn.evil.test/x.js",
      "x.js: http://fonts.test:80/a",
    ]);
  });
});
