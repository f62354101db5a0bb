/**
 * `npm run mutate`: measures how many small faults in the cores the tests detect. Each mutant of a `core/` folder runs against the nearest
 * tests of that folder. Survivors are listed with their place. See CONTRIBUTING.md.
 */
import { globSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { seededRandom, shuffle } from "#base";
import { mutantsOf, mutated, type Mutant } from "./mutation/mutants.ts";
import { Worker } from "./mutation/pool.ts";
import { TestIndex } from "./mutation/tests.ts";

const USAGE = `npm run mutate -- [options]
  --folder NAME    one folder with a core/, such as dns; repeatable. Default: every one.
  --file TEXT      only files whose path holds this text
  --tests TEXT     only tests whose path holds this text: quicker, and the share is then the least that it is
  --sample N       mutants per folder, drawn by the seed. Default: all.
  --seed N         Default: 1.
  --jobs N         workers at once. Default: half of the cores.
  --budget N       seconds of tests that each mutant is run against; those that import its file always are. Default: 20.
  --list           prints the mutants and runs nothing`;

const { values: options } = parseArgs({
  options: {
    folder: { type: "string", multiple: true },
    file: { type: "string" },
    tests: { type: "string", default: "" },
    sample: { type: "string" },
    seed: { type: "string", default: "1" },
    jobs: { type: "string" },
    budget: { type: "string", default: "20" },
    list: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

interface Case {
  readonly path: string;
  readonly text: string;
  readonly mutant: Mutant;
}

type Verdict = "killed" | "timeout" | "survived" | "untested";

/** A mutant hangs when its tests take this many times their usual duration, plus these milliseconds. */
const SLOWER = 4;
const SLOWER_MS = 10_000;
/** Milliseconds for a test that imports the file directly, without a mutant. On a busy machine it may exceed the budget. */
const CLOSE_MS_MAX = 300_000;

const root = join(import.meta.dirname, "..");
const index = new TestIndex(root);
/** Duration of each test file without a mutant, in milliseconds; undefined: it fails without one, so it proves nothing. */
const baselines = new Map<string, number | undefined>();

/** The name of each module with a core, and where the core is. */
const cores = new Map(
  globSync("{*,kernel/*}/core", { cwd: root })
    .sort()
    .map((path) => [basename(dirname(path)), path]),
);

function casesOf(folder: string, seed: number, sample: number): { drawn: Case[]; all: number } {
  const all = globSync(`${cores.get(folder)}/**/*.ts`, { cwd: root })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => path.includes(options.file ?? ""))
    .sort()
    .flatMap((path) => {
      const text = readFileSync(join(root, path), "utf8");
      return mutantsOf(text).map((mutant): Case => ({ path, text, mutant }));
    });
  const drawn = all.length <= sample ? all : shuffle(seededRandom(seed), all).slice(0, sample);
  // By file, so that caches stay warm.
  return {
    drawn: drawn.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : a.mutant.start - b.mutant.start)),
    all: all.length,
  };
}

/** The folder of a core file's tests: `kernel/health/core/damping.ts` has them in `test/health`. */
function testFolderOf(path: string): string {
  return `test/${path.replace(/^kernel\//, "").split("/", 1)[0]}`;
}

/** The tests that import the file, and the next nearest within the budget, the quickest first, with their duration. */
async function testsFor(worker: Worker, path: string, budgetMs: number): Promise<{ tests: string[]; ms: number }> {
  const chosen: { path: string; ms: number }[] = [];
  let spent = 0;
  for (const test of index.testsOf(path, testFolderOf(path))) {
    if (!test.path.includes(options.tests)) continue;
    // Tests that import the file directly are included whatever they cost.
    const close = test.distance === 1;
    if (!close && spent >= budgetMs) break;
    if (!baselines.has(test.path)) {
      const outcome = await worker.run({ tests: [test.path] }, close ? CLOSE_MS_MAX : SLOWER * budgetMs + SLOWER_MS);
      baselines.set(test.path, outcome?.passed ? outcome.ms : undefined);
      if (!outcome?.passed)
        console.error(`${test.path} is excluded because it fails or hangs without a mutant. ${outcome?.error ?? ""}`);
    }
    const ms = baselines.get(test.path);
    if (ms === undefined || (!close && chosen.length > 0 && spent + ms > budgetMs)) continue;
    spent += ms;
    chosen.push({ path: test.path, ms });
  }
  return { tests: chosen.sort((a, b) => a.ms - b.ms).map(({ path }) => path), ms: spent };
}

async function judge(worker: Worker, { path, text, mutant }: Case, budgetMs: number): Promise<Verdict> {
  const { tests, ms } = await testsFor(worker, path, budgetMs);
  if (tests.length === 0) return "untested";
  const outcome = await worker.run({ tests, replaced: { path, text: mutated(text, mutant) } }, SLOWER * ms + SLOWER_MS);
  return outcome === undefined ? "timeout" : outcome.passed ? "survived" : "killed";
}

function shown({ path, mutant }: Case): string {
  const brief = (text: string) => text.replaceAll(/\s+/g, " ").slice(0, 100);
  return `${path}:${mutant.line}  ${mutant.kind}: ${brief(mutant.before)} → ${brief(mutant.after)}`;
}

async function runFolder(folder: string, workers: readonly Worker[]): Promise<void> {
  const { drawn, all } = casesOf(folder, Number(options.seed), Number(options.sample ?? Infinity));
  if (options.list) return drawn.forEach((one) => console.log(shown(one)));
  const left = [...drawn];
  const verdicts: Record<Verdict, Case[]> = { killed: [], timeout: [], survived: [], untested: [] };
  const started = Date.now();
  await Promise.all(
    workers.map(async (worker) => {
      for (let one = left.shift(); one; one = left.shift()) {
        const verdict = await judge(worker, one, Number(options.budget) * 1000);
        verdicts[verdict].push(one);
        if (verdict === "survived" || verdict === "untested") console.log(`${verdict}  ${shown(one)}`);
      }
    }),
  );
  const killed = verdicts.killed.length + verdicts.timeout.length;
  const percent = drawn.length === 0 ? 100 : (100 * killed) / drawn.length;
  console.log(
    `${folder}/core: ${killed} of ${drawn.length} mutants killed, ${percent.toFixed(1)} % (${verdicts.timeout.length} by timeout; ` +
      `${all} in all, seed ${options.seed}, ${Math.round((Date.now() - started) / 1000)} s)`,
  );
}

if (options.help) {
  console.log(USAGE);
  process.exit(0);
}
const folders = options.folder ?? [...cores.keys()];
const unknown = folders.find((folder) => !cores.has(folder));
if (unknown !== undefined) {
  console.error(`"${unknown}" has no core/ folder. Use one of ${[...cores.keys()].join(", ")}.`);
  process.exit(1);
}
const jobs = Number(options.jobs ?? Math.max(1, Math.floor(availableParallelism() / 2)));
const workers = Array.from({ length: jobs }, () => new Worker());
const stop = () =>
  void Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]())).then(() => process.exit(130));
process.once("SIGINT", stop).once("SIGTERM", stop);
try {
  for (const folder of folders) await runFolder(folder, workers);
} finally {
  for (const worker of workers) await worker[Symbol.asyncDispose]();
}
