/** The modules that a verb loads: its own file and its dependencies, never the server for a command that only asks one. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";
import { VERBS } from "../../cli/verbs.ts";
import { projectRoot } from "#test/kit";

const { imports: aliases } = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8")) as {
  imports: Record<string, string>;
};

/** The static imports of a file; modules that it imports by `import()` are loaded when they are used. */
function importsOf(path: string): string[] {
  const code = readFileSync(join(projectRoot, path), "utf8").replaceAll(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, "");
  return [...code.matchAll(/^(?:import|export)\b(?! type )(?:[^;"']*?\bfrom)?\s*["']([^"']+)["']/gm)].map(
    ([, specifier]) => specifier as string,
  );
}

/** Every file and package that is loaded with a file. */
function loadedWith(path: string, seen = new Set<string>()): Set<string> {
  if (seen.has(path)) return seen;
  seen.add(path);
  for (const specifier of importsOf(path)) {
    if (specifier.startsWith("node:")) continue;
    if (specifier.startsWith(".")) loadedWith(normalize(join(dirname(path), specifier)), seen);
    else if (specifier.startsWith("#")) loadedWith(normalize(aliases[specifier] ?? specifier), seen);
    else seen.add(specifier);
  }
  return seen;
}

/** Each verb and its file, from the text of the table: a test runner rewrites the functions themselves. */
const FILE_OF = new Map(
  readdirSync(join(projectRoot, "cli/verb-tables")).flatMap((table) =>
    [
      ...readFileSync(join(projectRoot, "cli/verb-tables", table), "utf8").matchAll(
        /path: "([^"]+)"[^}]*?load: \(\) => import\("\.\.\/(verbs\/[^"]+)"\)/g,
      ),
    ].map(([, path = "", file = ""]) => [path, `cli/${file}`] as const),
  ),
);
const FILES = VERBS.filter(({ load }) => load).map(({ path }) => [path, FILE_OF.get(path) ?? ""] as const);

/** Folders whose code runs in a server; of them a command may load contracts and what is as light. */
const SERVER =
  /^(kernel\/(?!base\/|settings\/)|registry|locks|quotas|config-server|flags|gateway|agent|dns|server|demo)/;
const LIGHT = new Set([
  "server/version.ts",
  "config-server/secrets/secret-keys.ts",
  "config-server/secrets/cipher.ts",
  "config-server/core/sealed.ts",
  "kernel/http/frames.ts",
]);
const CONTRACT = /^(kernel\/)?[a-z-]+\/(api|contract\/[a-z-]+)\.ts$/;
const PACKAGES = new Set(["commander", "ajv", "yaml", "typebox", "undici"]);
/** By the first word of a verb: what it alone reads or writes. */
const OWN_PACKAGES: Record<string, string> = {
  config: "fflate",
  convert: "fflate",
  exec: "smol-toml",
  agent: "smol-toml",
};
/** Verbs that check a gateway's config themselves. */
const LOADS_CHECKS = new Set(["gateway validate"]);

test("the program itself loads the table of verbs and no verb", () => {
  const loaded = [...loadedWith("cli/main.ts")].sort();
  expect(loaded.filter((path) => path.startsWith("cli/") && !path.startsWith("cli/verb-tables/"))).toEqual([
    "cli/exit-codes.ts",
    "cli/main.ts",
    "cli/program.ts",
    "cli/terminal.ts",
    "cli/verbs.ts",
  ]);
  expect(loaded.filter((path) => !path.includes("/"))).toEqual(["commander"]);
});

test("every row names a file that is there, and every file of a verb has a row", () => {
  expect(FILE_OF.size).toBe(FILES.length);
  const files = readdirSync(join(projectRoot, "cli/verbs")).map((name) => `cli/verbs/${name}`);
  expect([...new Set(FILES.map(([, file]) => file))].sort()).toEqual(files.sort());
});

test("version loads its number alone", () => {
  expect([...loadedWith("cli/verbs/version.ts")].sort()).toEqual(["cli/verbs/version.ts", "server/version.ts"]);
});

test.each(FILES.filter(([path]) => !LOADS_CHECKS.has(path)))("posthouse %s loads no server", (path, file) => {
  const loaded = [...loadedWith(file)];
  const heavy = loaded.filter((one) => SERVER.test(one) && !LIGHT.has(one) && !isContract(one));
  expect(heavy, path).toEqual([]);
  const packages = loaded.filter((one) => !one.endsWith(".ts"));
  const own = OWN_PACKAGES[path.split(" ", 1)[0] ?? ""];
  const strange = packages.filter((one) => !PACKAGES.has(one.split("/", 1)[0] ?? "") && one !== own);
  expect(strange, path).toEqual([]);
});

/** A contract imports shapes and codes, and nothing that runs: the architecture's test sees to that. */
function isContract(path: string): boolean {
  if (!CONTRACT.test(path)) return false;
  return [...loadedWith(path)].every(
    (one) => one === "typebox" || one.startsWith("kernel/base/") || CONTRACT.test(one) || one.startsWith("typebox/"),
  );
}
