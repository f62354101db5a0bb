/** Worlds from seeds, one half of them; see world.ts for what happens in one and checkers.ts for what must hold. */
import { expect, test, vi } from "vitest";
import { prove, seedsOf } from "./run.ts";

vi.mock("node:fs/promises", async (original) => (await import("./disk.ts")).withSimDisk(await original()));
vi.mock("ajv", async (original) => (await import("./compiled-once.ts")).withCompiledOnce(await original()));

const seeds = seedsOf(1, 2);

test("a seed that was asked for runs, and a plain run has many", () => {
  expect(process.env["SIM_SEED"] !== undefined || seeds.length > 0).toBe(true);
});

test.for(seeds)(
  "the bad week of seed %i keeps every invariant, and happens alike when it is repeated",
  async (seed) => {
    await prove(seed);
  },
);
