/** The order of an answer: drawn by weight, without putting back, nearest first. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { seededRandom, type Random } from "#base";
import { draw, type Weighted } from "../../dns/core/order.ts";

interface Item extends Weighted {
  readonly name: number;
}
const items = (weights: readonly number[], priority = 1): Item[] =>
  weights.map((weight, name) => ({ name, weight, priority }));

test("a draw holds as many as were wanted, each once, and none before all that are nearer", () => {
  const groups = fc.array(fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 30 }), {
    maxLength: 3,
  });
  fc.assert(
    fc.property(groups, fc.nat({ max: 40 }), fc.integer(), (groups, count, seed) => {
      const all = groups.flatMap((weights, group) => items(weights, group + 1));
      const drawn = draw(seededRandom(seed), all, count);
      expect(drawn).toHaveLength(Math.min(count, all.length));
      expect(new Set(drawn).size).toBe(drawn.length);
      const priorities = drawn.map(({ priority }) => priority);
      expect(priorities).toEqual(all.slice(0, count).map(({ priority }) => priority));
    }),
  );
});

/** How often each item came first in so many draws. */
function firsts(all: readonly Item[], count: number, draws = 4_000): number[] {
  const random = seededRandom(7);
  const shares = all.map(() => 0);
  for (let i = 0; i < draws; i++) shares[draw(random, all, count)[0]?.name ?? 0]! += 1 / draws;
  return shares;
}

test.each([
  ["two", [100, 300], 2],
  ["three", [100, 200, 700], 3],
  ["one of five", [1, 2, 3, 4, 10], 1],
  ["one of fifty", Array.from({ length: 50 }, (_, i) => (i === 20 ? 51 : 1)), 1],
] as const)("the first of %s is drawn by its weight", (_what, weights, count) => {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const shares = firsts(items(weights), count);
  for (const [i, weight] of weights.entries()) expect(Math.abs((shares[i] ?? 0) - weight / total)).toBeLessThan(0.03);
});

test("a heavy item among many light ones leaves the other places to them, in turn", () => {
  const all = items(Array.from({ length: 50 }, (_, i) => (i === 20 ? 1e9 : 1)));
  const names = draw(seededRandom(3), all, 5).map(({ name }) => name);
  expect(names[0]).toBe(20);
  const rest = names.slice(1);
  const [start = 0] = rest;
  expect(rest).toEqual(rest.map((_, i) => (start + i) % 50));
});

test("chance falls on the first item whose sum of weights is above it", () => {
  const always = (value: number): Random => ({ ...seededRandom(1), float: () => value });
  const five = items([1, 1, 1, 1, 4]);
  const first = (value: number) => draw(always(value), five, 1)[0]?.name;
  expect([first(0), first(0.124), first(0.125), first(0.49), first(0.5), first(0.999)]).toEqual([0, 0, 1, 3, 4, 4]);
});
