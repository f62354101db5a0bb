/**
 * The requirements for every file: a purpose in its first line, no leftovers, and generated pages in step with the
 * code.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { modulesPicture, withPicture } from "../scripts/architecture/picture.ts";
import { programSources, readAliases } from "../scripts/architecture/sources.ts";
import { pages } from "../scripts/generate.ts";

const root = join(import.meta.dirname, "..");
const listed = spawnSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: root,
  encoding: "utf8",
});
const files = listed.stdout.split("\n").filter((path) => path !== "" && !path.startsWith("docs/reference/"));
const code = files.filter((path) => path.endsWith(".ts"));
const byText = (a: string, b: string) => (a < b ? -1 : 1);
const read = (path: string) => readFileSync(join(root, path), "utf8");

test("there are files to look at", () => {
  expect(code.length).toBeGreaterThan(50);
});

test("each source file opens by saying what it is for", () => {
  const silent = code.filter((path) => !/^(#!.*\n)?\/\*\*\s*(\n \* )?\S/.test(read(path)));
  expect(silent).toEqual([]);
});

test("a browser test names the dialog that it means: the last one may be the one below, before the next has opened", () => {
  const positional = /getByRole\("dialog"\)\.(?:last|nth|first)\(/;
  expect(code.filter((path) => path !== "test/tidy.test.ts" && positional.test(read(path)))).toEqual([]);
});

test("no line of code or prose is wider than a page", () => {
  const wide = code.flatMap((path) =>
    read(path)
      .split("\n")
      .flatMap((line, index) => (line.length > 140 && !/https?:|`/.test(line) ? [`${path}:${index + 1}`] : [])),
  );
  expect(wide).toEqual([]);
});

test("nothing is left over: no reminders, no skipped tests, no silenced checks", () => {
  // Spelt so that this file does not find itself.
  const words = ["TOD.", "FIXM.", "XX[X]", "HAC."].join("|").replaceAll(".", "[EKO]");
  const leftovers = new RegExp(
    `\\b(${words})\\b|\\b(test|it|describe)\\.(skip|only|todo)\\b|@ts-(ignore|nocheck|expect-error)|(ox|es)lint-disable`,
  );
  const found = files
    .filter((path) => /\.(ts|md|json|ya?ml|sh)$/.test(path) && path !== "package-lock.json")
    .flatMap((path) => {
      const index = read(path)
        .split("\n")
        .findIndex((line) => leftovers.test(line));
      return index < 0 ? [] : [`${path}:${index + 1}`];
    })
    .filter((place) => !place.startsWith("test/tidy.test.ts"));
  expect(found).toEqual([]);
});

test("the generated pages say what the code says", async () => {
  for (const [name, text] of Object.entries(await pages())) {
    expect(read(join("docs/reference", name)), `${name}: run npm run generate`).toBe(text);
  }
});

test("the picture of the modules is what their imports say", () => {
  const page = read("ARCHITECTURE.md");
  const picture = modulesPicture(programSources(root), readAliases(root));
  expect(withPicture(page, picture), "run npm run generate").toBe(page);
});

test("every dependency has its line in docs/dependencies.md, and no line is about a removed one", () => {
  const manifest = JSON.parse(read("package.json")) as Record<
    "dependencies" | "devDependencies",
    Record<string, string>
  >;
  const names = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies }).toSorted(byText);
  const lines = [...read("docs/dependencies.md").matchAll(/^\| `([^`]+)` \|/gm)]
    .map((match) => match[1] ?? "")
    .toSorted(byText);
  expect(lines).toEqual(names);
});

test("every locked package says where it comes from, and the hash that it must have", () => {
  const { packages } = JSON.parse(read("package-lock.json")) as {
    packages: Record<string, { resolved?: string; integrity?: string }>;
  };
  const { "": _root, ...locked } = packages;
  const unsaid = Object.entries(locked).filter(
    ([, { resolved = "", integrity = "" }]) =>
      !resolved.startsWith("https://registry.npmjs.org/") || !integrity.startsWith("sha512-"),
  );
  expect(unsaid).toEqual([]);
  expect(Object.keys(locked).length).toBeGreaterThan(100);
});

test("package-lock.json has every package that another one names, so that npm ci accepts it", () => {
  type Names = Readonly<Record<string, string>>;
  const { packages } = JSON.parse(read("package-lock.json")) as {
    readonly packages: Readonly<
      Record<string, { readonly dependencies?: Names; readonly optionalDependencies?: Names }>
    >;
  };
  /** The folders in which Node would look, from the package's own upwards. */
  const isFound = (from: string, name: string): boolean => {
    const inner = from === "" ? `node_modules/${name}` : `${from}/node_modules/${name}`;
    if (inner in packages) return true;
    return from !== "" && isFound(from.slice(0, Math.max(0, from.lastIndexOf("/node_modules/"))), name);
  };
  const missing = Object.entries(packages).flatMap(([from, { dependencies, optionalDependencies }]) =>
    Object.keys({ ...dependencies, ...optionalDependencies })
      .filter((name) => !isFound(from, name))
      .map((name) => `${from}: ${name}`),
  );
  expect(Object.keys(packages).length).toBeGreaterThan(300);
  expect(missing).toEqual([]);
});
