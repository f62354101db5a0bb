/** The rest between two reads of a resource. */
import { expect, test } from "vitest";
import { readGapMs } from "../../../console/data/read-gap.ts";

test.each([
  ["a small answer: four reads per second", 20, 900, 250],
  ["a slow answer: a quarter of the time", 400, 900, 1_200],
  ["a large answer: a second for each million characters", 100, 4_000_000, 4_000],
  ["never longer than ten seconds", 60_000, 90_000_000, 10_000],
])("%s", (_case, tookMs, characters, gapMs) => {
  expect(readGapMs(tookMs, characters)).toBe(gapMs);
});
