/** Last uses of tokens, merged into the records of the store. */
import { expect, test } from "vitest";
import {
  mergedShard,
  minuteOf,
  shardOf,
  type Use,
  USES_PER_SHARD_MAX,
  USE_STEP_MS,
} from "../../kernel/access/core/use-book.ts";

const all = () => true;
const noted = (uses: Record<string, Use>) => new Map(Object.entries(uses));

test("the later use of each token wins, whichever member noted it", () => {
  const stored = { a: [5, "here"], b: [9, "here"] } as const;
  expect(mergedShard(stored, noted({ a: [6, "there"], b: [8, "there"], c: [1, "there"] }), all)).toEqual({
    a: [6, "there"],
    b: [9, "here"],
    c: [1, "there"],
  });
});

test("uses that are known already need no write", () => {
  expect(mergedShard({ a: [5, "here"] }, noted({ a: [5, "there"] }), all)).toBeUndefined();
  expect(mergedShard({ a: [5, "here"] }, noted({}), all)).toBeUndefined();
});

test("tokens that no longer exist are forgotten, and of too many the latest are kept", () => {
  expect(mergedShard({ gone: [9, "x"] }, noted({ a: [1, "y"] }), (id) => id !== "gone")).toEqual({ a: [1, "y"] });
  const many = Object.fromEntries(Array.from({ length: USES_PER_SHARD_MAX }, (_, i) => [`t${i}`, [i + 1, ""] as Use]));
  const merged = mergedShard(many, noted({ new: [USES_PER_SHARD_MAX + 1, ""] }), all) ?? {};
  expect(Object.keys(merged)).toHaveLength(USES_PER_SHARD_MAX);
  expect([Object.hasOwn(merged, "new"), Object.hasOwn(merged, "t0"), Object.hasOwn(merged, "t1")]).toEqual([
    true,
    false,
    true,
  ]);
});

test("the time is exact to a minute, and a record is found by the first digit of an id", () => {
  expect([minuteOf(USE_STEP_MS - 1), minuteOf(USE_STEP_MS)]).toEqual([0, 1]);
  expect(shardOf("c0ffee0000000000-0123456789abcdef")).toBe("c");
});
