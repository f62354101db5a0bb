/** When checks are probed, what a runner makes of a stated one, and what agrees with what: by example. */
import { expect, test } from "vitest";
import { DAMPING_DEFAULTS, JUDGING_DEFAULTS } from "#registry/api";
import { bestOf, observe, startHealth, worstOf } from "../../kernel/health/core/state.ts";
import { addTurn, fade, heldForSeconds, startDamping } from "../../kernel/health/core/damping.ts";
import { patternMatches, statusExpected } from "../../kernel/health/core/match.ts";
import { FIRST_PROBE_MS_MAX, firstDelayMs, nextDueMs, intervalPlaceOf } from "../../kernel/health/core/schedule.ts";
import { definitionOf } from "../../kernel/health/definition.ts";

test("a stated check becomes a definition in milliseconds, and its target has nothing else in it", () => {
  const judging = { intervalSeconds: 10, timeoutSeconds: 5, initialDelaySeconds: 2, rise: 1, fall: 3, warnAfterMs: 9 };
  const stated = {
    ...judging,
    damping: DAMPING_DEFAULTS,
    id: "up",
    deregisterAfterSeconds: 60,
    type: "tcp",
    host: "db",
    port: 1,
  } as const;
  const expected = {
    target: { type: "tcp", host: "db", port: 1 },
    intervalMs: 10_000,
    timeoutMs: 5_000,
    initialDelayMs: 2_000,
    warnAfterMs: 9,
    rise: 1,
    fall: 3,
    damping: DAMPING_DEFAULTS,
  };
  expect(definitionOf(stated)).toEqual(expected);
  expect(definitionOf({ ...stated, damping: false })).toEqual({ ...expected, damping: undefined });
});

test("a first probe comes at the check's place within a second, or within a shorter interval, after its delay", () => {
  const timing = { place: 0.5, intervalMs: 10_000, initialDelayMs: 300 };
  expect(firstDelayMs(timing)).toBe(300 + FIRST_PROBE_MS_MAX / 2);
  expect(firstDelayMs({ ...timing, intervalMs: 200 })).toBe(300 + 100);
  expect([nextDueMs(timing, 0), nextDueMs(timing, 1), nextDueMs(timing, 5_000)]).toEqual([5_000, 15_000, 15_000]);
  expect(nextDueMs({ ...timing, place: 0 }, 5_000)).toBe(10_000);
});

test("a place is in [0, 1), the same for the same key, and another for another", () => {
  const places = Array.from({ length: 2_000 }, (_, i) => intervalPlaceOf(`default/orders/orders-${i}/up`));
  expect(places.every((place) => place >= 0 && place < 1)).toBe(true);
  expect(new Set(places).size).toBe(places.length);
  expect(intervalPlaceOf("default/orders/orders-7/up")).toBe(places[7]);
  // Each tenth of the interval has about its tenth of the checks, also of keys that differ in their last character only.
  for (let tenth = 0; tenth < 10; tenth++) {
    const count = places.filter((place) => Math.floor(place * 10) === tenth).length;
    expect(Math.abs(count - 200)).toBeLessThan(60);
  }
});

test("a place is the same in every version, so that an upgrade moves no probe", () => {
  // FNV-1a and the finalizer of MurmurHash3, computed by other means.
  expect(intervalPlaceOf("") * 2 ** 32).toBe(0xab3e7c0b);
  expect(intervalPlaceOf("a") * 2 ** 32).toBe(0x1a80b1b3);
  expect(intervalPlaceOf("default/orders/orders-7/up") * 2 ** 32).toBe(0x22606aaa);
});

test.each([
  ["", "", true],
  ["", "a", false],
  ["*", "", true],
  ["a", "a", true],
  ["a", "ab", false],
  ["a*", "a", true],
  ["*a", "ba", true],
  ["*a", "ab", false],
  ["a*a", "a", false],
  ["a*a", "aa", true],
  ["a*b*c", "a-b-c", true],
  ["a*b*c", "ac", false],
  ["a*bc*c", "abc", false],
  ["a*bc*c", "abcc", true],
  ["*ab*ab*", "ab", false],
  ["*ab*ab*", "abab", true],
  ["*ab*ab*", "aab-ab-", true],
])("pattern %j and %j: %s", (pattern, text, expected) => {
  expect(patternMatches(pattern, text)).toBe(expected);
});

test("a status is one of some, or within a range with both of its ends", () => {
  const expected = [204, "300-302"];
  const statuses = [203, 204, 205, 299, 300, 301, 302, 303];
  expect(statuses.filter((status) => statusExpected(status, expected))).toEqual([204, 300, 301, 302]);
  expect(statusExpected(200, [])).toBe(false);
});

test("a status keeps the moment at which it was taken, and takes a new one when it turns", () => {
  let health = observe(startHealth(5), "passing", 10, JUDGING_DEFAULTS);
  expect([health.status, health.sinceMs]).toEqual(["passing", 10]);
  health = observe(health, "passing", 20, JUDGING_DEFAULTS);
  expect(health.sinceMs).toBe(10);
  for (const at of [30, 40, 50]) health = observe(health, "critical", at, JUDGING_DEFAULTS);
  expect([health.status, health.sinceMs]).toEqual(["critical", 50]);
  // One good result suffices to rise, where a check does not say otherwise.
  health = observe(health, "passing", 60, JUDGING_DEFAULTS);
  expect([health.status, health.sinceMs]).toEqual(["passing", 60]);
});

test("after a restart results count from zero, for every kind of turn", () => {
  const turns = (from: "passing" | "critical", result: "passing" | "warning" | "critical") => {
    let health = startHealth(0, from);
    for (let count = 1; count <= 3; count++) {
      health = observe(health, result, count, { rise: 2, fall: 3 });
      if (health.status !== from) return [count, health.status];
    }
    return undefined;
  };
  expect(turns("passing", "critical")).toEqual([3, "critical"]);
  expect(turns("passing", "warning")).toEqual([3, "warning"]);
  expect(turns("critical", "warning")).toEqual([2, "warning"]);
  expect(turns("critical", "passing")).toEqual([2, "passing"]);
  expect(turns("passing", "passing")).toBeUndefined();
});

test("the worst of checks and the best of instances, by how much is known against them", () => {
  expect([
    worstOf([]),
    worstOf(["warning", "unknown"]),
    worstOf(["unknown", "critical"]),
    worstOf(["passing", "warning"]),
  ]).toEqual(["passing", "unknown", "critical", "warning"]);
  expect([
    bestOf([]),
    bestOf(["critical", "unknown"]),
    bestOf(["unknown", "warning"]),
    bestOf(["warning", "passing"]),
  ]).toEqual(["critical", "unknown", "warning", "passing"]);
});

test("a penalty fades by half in its time; a check is held above suppress, and let go below reuse", () => {
  const options = { halfLifeSeconds: 100, suppress: 2.5, reuse: 1, holdSecondsMax: 400 };
  let damping = startDamping(0);
  for (const [turn, held] of [
    [1, false],
    [2, false],
    [3, true],
  ] as const) {
    damping = addTurn(damping, 0, options);
    expect([damping.penalty, damping.held, damping.turns]).toEqual([turn, held, turn]);
  }
  expect(heldForSeconds(damping, options)).toBeCloseTo(100 * Math.log2(3), 9);
  expect(heldForSeconds({ penalty: 8, atMs: 0, held: true, turns: 8 }, { ...options, reuse: 2 })).toBe(200);
  const half = fade(damping, 100_000, options);
  expect([half.penalty, half.held, half.turns, half.atMs]).toEqual([1.5, true, 3, 100_000]);
  const free = fade(half, 160_000, options);
  expect([free.held, heldForSeconds(free, options), free.turns]).toEqual([false, 0, 3]);
  // Exactly at reuse it is held still, and for no time more; at rest its turns are forgotten.
  expect(heldForSeconds({ penalty: 1, atMs: 0, held: true, turns: 1 }, options)).toBe(0);
  expect(fade({ penalty: 2, atMs: 0, held: true, turns: 1 }, 100_000, options).held).toBe(true);
  expect(fade(free, 1_160_000, options)).toEqual({ penalty: 0, atMs: 1_160_000, held: false, turns: 0 });
  // A penalty of exactly 0.1 is not at rest yet, and one turn fades like many.
  const small = { penalty: 0.2, atMs: 0, held: false, turns: 1 };
  expect(fade(small, 100_000, options)).toEqual({ penalty: 0.1, atMs: 100_000, held: false, turns: 1 });
  expect(fade(addTurn(startDamping(0), 0, options), 100_000, options)).toMatchObject({ penalty: 0.5, turns: 1 });
  // A clock that goes back neither fades nor adds.
  expect(fade(damping, -5_000, options).penalty).toBe(3);
  // No turns hold it for longer than the longest hold.
  for (let i = 0; i < 100; i++) damping = addTurn(damping, 0, options);
  expect([damping.penalty, heldForSeconds(damping, options)]).toEqual([16, 400]);
});
