/**
 * `npm run test:fast [-- REVISION]`: runs the tests nearest to the changes since a revision (default: the last commit; with a clean tree, the
 * commit before it), the nearest first, as many as fit into a minute. A first impression, not a full check.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TestIndex } from "./mutation/tests.ts";

/** Seconds of tests to run, by their last durations. Three files run at once, and the start takes part of the minute. */
const TEST_SECONDS_MAX = 90;
/** Assumed seconds of a test file without a known duration. */
const UNKNOWN_SECONDS = 3;
/** Long simulations, and tests of the whole tree. They run only when they were changed themselves. */
const LONG = /^test\/(?:e2e|sim)\//u;
/** Tests that read every file, so that any change may affect them. */
const ALWAYS = ["test/tidy.test.ts", "test/defects.test.ts", "test/plain-english.test.ts"];

const root = join(import.meta.dirname, "..");

function git(...args: string[]): string[] {
  return execFileSync("git", args, { cwd: root, encoding: "utf8" })
    .split("\n")
    .filter((line) => line !== "");
}

function changedSince(revision: string): string[] {
  const changed = [...git("diff", "--name-only", revision), ...git("ls-files", "--others", "--exclude-standard")];
  return changed.filter((path) => path.endsWith(".ts") && existsSync(join(root, path)));
}

/** Duration of each test file in its last run, in seconds, from the test runner's cache. */
function knownSeconds(): Map<string, number> {
  const [file] = globSync("node_modules/.vite/vitest/*/results.json", { cwd: root });
  if (file === undefined) return new Map();
  const { projects } = JSON.parse(readFileSync(join(root, file), "utf8")) as {
    projects: Record<string, { files: Record<string, { duration: number }> }>;
  };
  const files = Object.values(projects).flatMap((project) => Object.entries(project.files));
  return new Map(files.map(([path, { duration }]) => [path, duration / 1000]));
}

/** The tests that a change affects, with their distance in imports. */
function testsByDistance(changed: readonly string[]): Map<string, number> {
  const index = new TestIndex(root);
  const distances = new Map<string, number>(ALWAYS.map((path) => [path, 1]));
  const note = (path: string, distance: number) =>
    distances.set(path, Math.min(distance, distances.get(path) ?? Infinity));
  for (const source of changed) {
    if (source.endsWith(".test.ts")) note(source, 0);
    else for (const { path, distance } of index.testsOf(source, "test")) if (!LONG.test(path)) note(path, distance);
  }
  return distances;
}

const [given] = process.argv.slice(2);
let changed = changedSince(given ?? "HEAD");
if (changed.length === 0 && given === undefined) changed = changedSince("HEAD~1");
const seconds = knownSeconds();
const secondsOf = (path: string) => seconds.get(path) ?? UNKNOWN_SECONDS;
const reached = [...testsByDistance(changed)].sort(
  ([one, near], [other, far]) => near - far || secondsOf(one) - secondsOf(other),
);
const chosen: string[] = [];
let sum = 0;
for (const [path] of reached) {
  if (sum + secondsOf(path) > TEST_SECONDS_MAX) continue;
  sum += secondsOf(path);
  chosen.push(path);
}
console.log(
  `${changed.length} files changed; the ${chosen.length} nearest of ${reached.length} test files they reach.`,
);
const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
process.exit(spawnSync(process.execPath, [vitest, "run", ...chosen], { stdio: "inherit", cwd: root }).status ?? 1);
