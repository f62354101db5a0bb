/** Bytes that turned in the store's file: an error with a code that names what is wrong, or the same values; nothing else. */
import { expect, test } from "vitest";
import { openStore } from "#store";
import { startProgram, tempFolder, testHost } from "#test/kit";
import { fill } from "./damage.ts";

const ROUNDS = 200;
const SEED = 20261129;

test(
  `${ROUNDS} damages of a store's file end as the same values or an error with a code (seed ${SEED})`,
  { timeout: 300_000 },
  async () => {
    await using folder = await tempFolder();
    await using work = await tempFolder();
    {
      await using store = await openStore(testHost(), { engine: "lmdb", folder: folder.path });
      await fill(store);
    }
    await using child = startProgram("test/store/damage-child.ts", [
      folder.path,
      work.path,
      String(SEED),
      String(ROUNDS),
    ]);
    const { signal } = await child.exited;
    const lines = child.output().trim().split("\n");
    expect([signal, lines.at(-1)], lines.slice(-3).join("\n")).toEqual([null, "end"]);
    const bad = lines.flatMap((line, index) => (line.startsWith("other") ? [`${lines[index - 1]}: ${line}`] : []));
    expect(bad).toEqual([]);
    const errors = lines.filter((line) => line.startsWith("code"));
    // Most damages are noticed, and the rest is in bytes that nothing reads.
    expect(errors.length).toBeGreaterThan(ROUNDS / 4);
    expect(lines.filter((line) => line === "same").length + errors.length).toBe(ROUNDS);
    for (const error of errors) expect(error).toMatch(/^code STORE_CORRUPT .*(damaged|format).*/);
  },
);
