/** Tests run in parallel, each file in a process of its own; a hung test fails, it does not wait. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    testTimeout: 30_000,
    hookTimeout: 60_000,
    globals: false,
  },
});
