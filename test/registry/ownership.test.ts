/** The owner of each piece of work: one member each, the same for all that know the same members, with few moves. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ownership, ownerOf } from "../../registry/core/ownership.ts";

const KEYS = Array.from({ length: 10_000 }, (_, i) => `/registry/verdicts/default/orders/orders-${i}/http`);
const members = fc.uniqueArray(fc.stringMatching(/^[0-9a-f]{16}$/), { minLength: 1, maxLength: 8 });

test("each key has exactly one owner, whatever the order of the members", () => {
  fc.assert(
    fc.property(members, fc.string(), (list, key) => {
      const owner = ownerOf(list, key);
      expect(list).toContain(owner);
      expect(ownerOf(list.toReversed(), key)).toBe(owner);
      expect(list.filter((member) => ownership(list, member)(key))).toEqual([owner]);
    }),
  );
});

test("when a member goes only its keys move, and when one joins only to it", () => {
  fc.assert(
    fc.property(members, fc.stringMatching(/^[0-9a-f]{17}$/), fc.string(), (list, newcomer, key) => {
      const before = ownerOf(list, key);
      const after = ownerOf([...list, newcomer], key);
      expect([before, newcomer]).toContain(after);
    }),
  );
});

test("three members share ten thousand checks evenly, and a fourth takes a quarter of each share", () => {
  const three = ["4f1c2a90b3d7e611", "9b02c7d1e88f4a30", "c3a95f10d2e4b678"];
  const four = [...three, "e7d0116fa2c3945b"];
  const counts = new Map<string | undefined, number>();
  let moved = 0;
  for (const key of KEYS) {
    const owner = ownerOf(three, key);
    counts.set(owner, (counts.get(owner) ?? 0) + 1);
    if (ownerOf(four, key) !== owner) moved++;
  }
  for (const count of counts.values()) expect(Math.abs(count - 3_333)).toBeLessThan(250);
  expect(Math.abs(moved - 2_500)).toBeLessThan(250);
});

test("a member that is not in the list owns nothing, and without members a key has no owner", () => {
  expect(ownership(["a", "b"], "c")("key")).toBe(false);
  expect(ownerOf([], "key")).toBeUndefined();
});

test("members whose names hash alike share no key: the last one in sort order owns it", () => {
  // Equal under 32-bit FNV-1a.
  for (const [first, last] of [
    ["costarring", "liquid"],
    ["altarage", "zinke"],
  ] as const) {
    for (const list of [
      [first, last],
      [last, first],
    ]) {
      expect(ownerOf(list, "key")).toBe(last);
      expect(list.filter((member) => ownership(list, member)("key"))).toEqual([last]);
    }
  }
});

test("the owners are the same in every version, so that members of two versions agree during an upgrade", () => {
  const three = ["4f1c2a90b3d7e611", "9b02c7d1e88f4a30", "c3a95f10d2e4b678"];
  const owners = KEYS.slice(0, 12).map((key) => three.indexOf(ownerOf(three, key) ?? ""));
  expect(owners).toEqual([1, 0, 1, 1, 0, 2, 2, 1, 2, 2, 2, 0]);
});

test("a single member owns everything", () => {
  expect(KEYS.slice(0, 100).every(ownership(["a"], "a"))).toBe(true);
});
