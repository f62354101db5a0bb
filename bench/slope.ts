/** Detects growth by the slope of the low points, so that the sawtooth of a garbage collector does not count. */

export interface Sample {
  readonly minutes: number;
  readonly value: number;
}

/** Parts of each series for its low points. In an hour, each part has one or two collections. */
const WINDOWS = 40;

/** The lowest sample of each part of a series. */
export function floorsOf(samples: readonly Sample[]): Sample[] {
  const size = Math.max(1, Math.floor(samples.length / WINDOWS));
  const floors: Sample[] = [];
  for (let at = 0; at < samples.length; at += size) {
    floors.push(samples.slice(at, at + size).reduce((low, sample) => (sample.value < low.value ? sample : low)));
  }
  return floors;
}

/** The least-squares slope per minute; NaN for fewer than two samples. */
export function slopeOf(samples: readonly Sample[]): number {
  const mean = (pick: (sample: Sample) => number) => samples.reduce((sum, one) => sum + pick(one), 0) / samples.length;
  const [minutes, value] = [mean((one) => one.minutes), mean((one) => one.value)];
  const along = samples.reduce((sum, one) => sum + (one.minutes - minutes) * (one.value - value), 0);
  const across = samples.reduce((sum, one) => sum + (one.minutes - minutes) ** 2, 0);
  return along / across;
}

/** The slope in each of a number of equal parts of the time from the first sample to the last. */
export function slopesOfParts(samples: readonly Sample[], parts: number): number[] {
  const [from, to] = [samples[0]?.minutes ?? 0, samples.at(-1)?.minutes ?? 0];
  const at = (share: number) => from + (to - from) * share;
  return Array.from({ length: parts }, (_, part) =>
    slopeOf(samples.filter(({ minutes }) => minutes >= at(part / parts) && minutes <= at((part + 1) / parts))),
  );
}
