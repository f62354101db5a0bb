/**
 * Tests run in parallel, each file in a process of its own. A hung test fails instead of waiting: the limits are for
 * that, and far above what a test takes on a busy machine. No test measures time by them.
 */
import { join } from "node:path";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    // Files wait for processes and clocks more than they compute, also on two cores.
    maxWorkers: 3,
    testTimeout: 300_000,
    hookTimeout: 300_000,
    globals: false,
    // For the processes that tests start, of which there are hundreds: compiled once.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, "node_modules", ".cache", "posthouse") },
  },
});
