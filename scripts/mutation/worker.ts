/**
 * One warm Vitest in a separate process. It runs test files with one source file replaced in memory. Nothing is written, so a killed run
 * leaves the checkout unchanged. The parent kills it when a mutant never ends.
 */
import { join } from "node:path";
import { BaseSequencer, createVitest, type TestSpecification, type Vitest } from "vitest/node";

/** A job of the worker: the test files in order, and the text to run them with. */
export interface Job {
  readonly tests: readonly string[];
  readonly replaced?: { readonly path: string; readonly text: string };
}

export interface Outcome {
  readonly passed: boolean;
  readonly tests: number;
  readonly ms: number;
  readonly error?: string;
}

/** In the given order: the tests that are likely to fail soon come first. */
class AsGiven extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return files;
  }
}

const root = join(import.meta.dirname, "../..");
let replaced: Job["replaced"];

async function start(): Promise<Vitest> {
  return createVitest(
    {
      root,
      // Without the projects of the whole suite: one worker, with the plugin below.
      config: false,
      include: ["test/**/*.test.ts"],
      watch: false,
      // The cache on disk is keyed by the file's text, which is not the text that runs.
      fsModuleCache: false,
      reporters: [{}],
      pool: "threads",
      isolate: false,
      maxWorkers: 1,
      fileParallelism: false,
      bail: 1,
      silent: true,
      testTimeout: 30_000,
      sequence: { sequencer: AsGiven },
    },
    {
      plugins: [
        {
          name: "mutant",
          enforce: "pre",
          load: (id: string) => (replaced && id === join(root, replaced.path) ? replaced.text : undefined),
        },
      ],
    },
  );
}

async function run(vitest: Vitest, job: Job): Promise<Outcome> {
  const before = replaced?.path;
  replaced = job.replaced;
  for (const path of [before, job.replaced?.path]) if (path !== undefined) vitest.invalidateFile(join(root, path));
  const specifications = job.tests.flatMap((path) => {
    const [project] = vitest.projects;
    return project ? [project.createSpecification(join(root, path))] : [];
  });
  const started = performance.now();
  const result = await vitest.runTestSpecifications(specifications);
  const ms = performance.now() - started;
  // The result includes earlier runs.
  const ran = new Set(job.tests.map((path) => join(root, path)));
  const modules = result.testModules.filter(({ moduleId }) => ran.has(moduleId));
  const failed = modules.find((module) => module.state() === "failed");
  const tests = modules.reduce((sum, module) => sum + [...module.children.allTests()].length, 0);
  const errors = [...(failed?.errors() ?? []), ...result.unhandledErrors] as { message?: string }[];
  const passed = failed === undefined && errors.length === 0 && tests > 0;
  return { passed, tests, ms, ...(errors[0]?.message === undefined ? {} : { error: errors[0].message }) };
}

const vitest = await start();
process.on("message", (job: Job) => {
  run(vitest, job).then(
    (outcome) => process.send?.(outcome),
    (error: unknown) => process.send?.({ passed: false, tests: 0, ms: 0, error: String(error) } satisfies Outcome),
  );
});
// Without its parent the worker is useless.
process.on("disconnect", () => process.exit(0));
process.send?.("ready");
