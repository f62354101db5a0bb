/** The growth that the soak measures: the slope of low points, not of a garbage collector's saw. */
import { expect, test } from "vitest";
import { floorsOf, slopeOf, slopesOfParts } from "../../bench/slope.ts";

/** An hour of samples every ten seconds. */
const series = (value: (minutes: number) => number) =>
  Array.from({ length: 360 }, (_, at) => ({ minutes: at / 6, value: value(at / 6) }));

test("a saw is flat, and growth under a saw is found", () => {
  const saw = (minutes: number) => (minutes % 1.5) * 30;
  const flat = floorsOf(series((minutes) => 100 + saw(minutes)));
  const grows = floorsOf(series((minutes) => 100 + saw(minutes) + 0.9 * minutes));
  expect(flat).toHaveLength(40);
  expect(slopeOf(flat)).toBeCloseTo(0, 1);
  expect(slopeOf(grows)).toBeCloseTo(0.9, 1);
});

test("growth that stops after half the time shows in the slopes of the quarters", () => {
  const slopes = slopesOfParts(
    series((minutes) => Math.min(minutes, 30)),
    4,
  );
  expect(slopes.map((slope) => Math.round(slope * 10) / 10)).toEqual([1, 1, 0, 0]);
});

test("one sample has no slope", () => {
  expect(slopeOf([{ minutes: 1, value: 1 }])).toBeNaN();
});
