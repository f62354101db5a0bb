/** While one member is well, a client that knows both is never without news for five seconds; and what breaks that is noticed. */
import { expect, test } from "vitest";
import { MEMBER_MUTATIONS, memberDay } from "./members.ts";

const GAP_MS_MAX = 5_000;
const SEEDS = 6;
/** The test does not detect a fault that does not show within this number of days. */
const SEEDS_MAX = 20;

test("news goes on past hung and deaf members, and a day rests on its seed alone", { timeout: 300_000 }, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const day = await memberDay(seed);
    expect(day.faults).toBeGreaterThan(1);
    expect(day.longestGapMs, `seed ${seed}`).toBeLessThan(GAP_MS_MAX);
    if (seed === 1) expect((await memberDay(seed)).trace).toBe(day.trace);
  }
});

test.each(MEMBER_MUTATIONS)("it is noticed when $when", { timeout: 300_000 }, async (mutation) => {
  const gaps: number[] = [];
  for (let seed = 1; seed <= SEEDS_MAX; seed++) {
    const { longestGapMs } = await memberDay(seed, mutation);
    if (longestGapMs >= GAP_MS_MAX) return;
    gaps.push(longestGapMs);
  }
  expect.fail(`not noticed: the longest gaps were ${gaps.join(", ")} ms`);
});
