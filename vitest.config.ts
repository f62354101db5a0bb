/**
 * Tests run in parallel. A worker runs one file after the other without loading the program again: a file that leaves
 * something behind in its process would disturb the next one, so each closes what it opens. A hung test fails instead of
 * waiting: the limits are for that, and far above what a test takes on a busy machine. No test measures time by them.
 */
import { join } from "node:path";
import { defineConfig } from "vitest/config";

/** Decisions without I/O. */
const CORES = ["test/**/core/**/*.test.ts", "test/**/core.test.ts", "test/**/*-core.test.ts"];
/** They replace modules for the whole process, so each has one of its own. */
const ISOLATED = ["test/sim/**/*.test.ts"];

export default defineConfig({
  test: {
    projects: [
      { extends: true, test: { name: "cores", include: CORES, pool: "threads", isolate: false } },
      { extends: true, test: { name: "isolated", include: ISOLATED, pool: "forks", isolate: true } },
      {
        extends: true,
        test: {
          name: "processes",
          include: ["test/**/*.test.ts"],
          exclude: [...CORES, ...ISOLATED],
          pool: "forks",
          isolate: false,
        },
      },
    ],
    // Files wait for processes and clocks more than they compute, also on two cores.
    maxWorkers: 3,
    testTimeout: 300_000,
    hookTimeout: 300_000,
    globals: false,
    // For the processes that tests start, of which there are hundreds: compiled once.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, "node_modules", ".cache", "posthouse") },
  },
});
