/** Recently used entries are present, unused entries are dropped, and the map never exceeds its size. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { RecentMap } from "../../../../gateway/core/limits/recent-map.ts";

test("the last half of what there may be is always there, with its newest value, and never more than all of it", () => {
  const uses = fc.array(fc.tuple(fc.constantFrom("get", "set", "delete"), fc.nat(20)), { maxLength: 400 });
  fc.assert(
    fc.property(uses, fc.integer({ min: 2, max: 16 }), (steps, most) => {
      const map = new RecentMap<number>(most);
      const model = new Map<string, number>();
      /** Keys by their last use, the last one at the end; those deleted since had their place. */
      let order: string[] = [];
      for (const [index, [what, at]] of steps.entries()) {
        const key = `k${at}`;
        const found = what === "get" ? map.get(key) : undefined;
        if (found !== undefined) expect(found).toBe(model.get(key));
        if (what === "set") {
          map.set(key, index);
          model.set(key, index);
        } else if (what === "delete") {
          map.delete(key);
          model.delete(key);
        }
        if (what === "set" || found !== undefined) order = [...order.filter((one) => one !== key), key];
        if (what === "get" && found === undefined) model.delete(key);
        expect(map.size).toBeLessThanOrEqual(most);
      }
      for (const key of order.slice(-Math.floor(most / 2))) expect(map.get(key)).toBe(model.get(key));
    }),
  );
});

test("a value that is set again is one entry, and clearing leaves none", () => {
  const map = new RecentMap<number>(4);
  for (let i = 0; i < 10; i++) map.set("a", i);
  expect([map.size, map.get("a")]).toEqual([1, 9]);
  for (const key of ["b", "c", "d", "e"]) map.set(key, 0);
  expect(map.get("a")).toBeUndefined();
  map.clear();
  expect(map.size).toBe(0);
});

test("a key that is set twice has one entry", () => {
  const map = new RecentMap<number>(4);
  map.set("a", 1);
  map.set("b", 2);
  map.set("a", 3);
  expect([map.size, map.get("a"), map.get("b")]).toEqual([2, 3, 2]);
  map.delete("a");
  expect([map.size, map.get("a")]).toEqual([1, undefined]);
  map.clear();
  expect([map.size, map.get("b")]).toEqual([0, undefined]);
});
