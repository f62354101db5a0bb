/** Flap damping, the schedule and matching: pure rules, for all inputs. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  addTurn,
  fade,
  heldForSeconds,
  nextDueMs,
  patternMatches,
  intervalPlaceOf,
  startDamping,
  statusExpected,
  type Damping,
  type DampingOptions,
} from "#health";
import { DAMPING_DEFAULTS } from "#registry/api";

const turnsAt = (times: readonly number[], options: DampingOptions = DAMPING_DEFAULTS): Damping =>
  times.reduce((damping, seconds) => addTurn(damping, seconds * 1000, options), startDamping(0));

test("a check that turns critical once a minute for a day is never held", () => {
  let damping = startDamping(0);
  for (let minute = 0; minute < 1440; minute++) {
    damping = addTurn(damping, minute * 60_000, DAMPING_DEFAULTS);
    expect(damping.held).toBe(false);
  }
});

test("four turns in a short while hold a check for some four minutes", () => {
  expect(turnsAt([0, 2, 4]).held).toBe(false);
  const held = turnsAt([0, 2, 4, 6]);
  expect(held).toMatchObject({ held: true, turns: 4 });
  expect(heldForSeconds(held, DAMPING_DEFAULTS)).toBeGreaterThan(230);
  expect(heldForSeconds(held, DAMPING_DEFAULTS)).toBeLessThan(240);
});

const options: fc.Arbitrary<DampingOptions> = fc
  .record({
    halfLifeSeconds: fc.integer({ min: 1, max: 3600 }),
    suppress: fc.double({ min: 1, max: 20, noNaN: true }),
    share: fc.double({ min: 0.1, max: 0.9, noNaN: true }),
    holdSecondsMax: fc.integer({ min: 1, max: 36_000 }),
  })
  .map(({ share, ...rest }) => ({ ...rest, reuse: rest.suppress * share }));
const gaps = fc.array(fc.integer({ min: 0, max: 600 }), { maxLength: 100 });

test("after any turns, a held check that is calm for the longest hold is released", () => {
  fc.assert(
    fc.property(gaps, options, (list, options) => {
      let nowMs = 0;
      let damping = startDamping(0);
      for (const gap of list) damping = addTurn(damping, (nowMs += gap * 1000), options);
      expect(heldForSeconds(damping, options)).toBeLessThanOrEqual(options.holdSecondsMax + 0.001);
      expect(fade(damping, nowMs + options.holdSecondsMax * 1000 + 1000, options).held).toBe(false);
    }),
  );
});

test("looking more often changes nothing, and only a turn begins a hold", () => {
  fc.assert(
    fc.property(gaps, gaps, options, (turns, looks, options) => {
      let nowMs = 0;
      let once = startDamping(0);
      let often = once;
      for (const [i, gap] of turns.entries()) {
        const before = often.held;
        const lookMs = nowMs + Math.min(gap, looks[i] ?? 0) * 1000;
        often = fade(often, lookMs, options);
        if (!before) expect(often.held).toBe(false);
        nowMs += gap * 1000;
        once = addTurn(once, nowMs, options);
        often = addTurn(often, nowMs, options);
        expect(Math.abs(often.penalty - once.penalty)).toBeLessThan(0.11);
      }
    }),
  );
});

test("ten thousand checks spread evenly over their interval, each at its place for ever", () => {
  const buckets = Array.from({ length: 10 }, () => 0);
  for (let i = 0; i < 10_000; i++) {
    const place = intervalPlaceOf(`/registry/verdicts/default/orders/orders-${i}/http`);
    const dueMs = nextDueMs({ place, intervalMs: 10_000, initialDelayMs: 0 }, 1_234_567);
    const again = nextDueMs({ place, intervalMs: 10_000, initialDelayMs: 0 }, dueMs);
    expect(Math.round(again - dueMs)).toBe(10_000);
    buckets[Math.floor((dueMs % 10_000) / 1_000)]!++;
  }
  for (const count of buckets) expect(Math.abs(count - 1_000)).toBeLessThan(150);
});

test("the next probe is half an interval to one and a half away", () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      fc.integer({ min: 0, max: 1e9 }),
      (place, startedAt) => {
        const gap = nextDueMs({ place, intervalMs: 10_000, initialDelayMs: 0 }, startedAt) - startedAt;
        expect(gap).toBeGreaterThanOrEqual(4_999);
        expect(gap).toBeLessThanOrEqual(15_001);
      },
    ),
  );
});

test("a pattern agrees with the regular expression that says the same", () => {
  const texts = fc.string({ unit: fc.constantFrom("a", "b", "*", "."), maxLength: 12 });
  fc.assert(
    fc.property(texts, texts, (pattern, text) => {
      const source = pattern
        .split("*")
        .map((part) => part.replaceAll(".", "\\."))
        .join("[^]*");
      expect(patternMatches(pattern, text)).toBe(new RegExp(`^${source}$`).test(text));
    }),
    { numRuns: 2_000 },
  );
});

test("statuses are numbers and ranges, both ends included", () => {
  expect([199, 200, 299, 300, 404].map((status) => statusExpected(status, ["200-299", 404]))).toEqual([
    false,
    true,
    true,
    false,
    true,
  ]);
});
