/** Percentages: who is in, for good, and as many as was said. */
import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { splitPlaceOf } from "../../flags/core/split.ts";
import { flags, variantOf } from "./kit.ts";

function rollout(percent: number, { salt, key = "f" }: { salt?: string; key?: string } = {}) {
  const on = percent / 100;
  const definition = {
    variants: { on: true, off: false },
    defaultVariant: "off",
    ...(salt === undefined ? {} : { salt }),
    rules: [{ split: { on, off: (10_000 - percent) / 100 } }],
  };
  const set = flags(JSON.stringify({ flags: { [key]: definition } }));
  return (targetingKey: string) => variantOf(set, key, { targetingKey }) === "on";
}

const users = Array.from({ length: 10_000 }, (_, index) => `user-${index}`);
/** Of 10,000 draws with p = 1/2 the standard deviation is 50: five of them. */
const SLACK = 250;

test.each([1, 10, 33.33, 50, 90])("%d %% of 10,000 users are in, within what chance allows", (percent) => {
  const isIn = rollout(percent * 100);
  expect(Math.abs(users.filter(isIn).length - percent * 100)).toBeLessThan(SLACK);
});

test("0 % selects no user and 100 % selects every user", () => {
  expect(users.some(rollout(0))).toBe(false);
  expect(users.every(rollout(10_000))).toBe(true);
});

test("three variants of 10,000 users get their configured shares", () => {
  const set = flags(`
flags:
  f:
    variants: { red: r, green: g, blue: b }
    defaultVariant: red
    rules: [{ split: { red: 50, green: 30, blue: 20 } }]
`);
  const counts: Record<string, number> = { red: 0, green: 0, blue: 0 };
  for (const targetingKey of users) counts[variantOf(set, "f", { targetingKey })]! += 1;
  for (const [variant, expected] of Object.entries({ red: 5000, green: 3000, blue: 2000 })) {
    expect(Math.abs((counts[variant] ?? 0) - expected), variant).toBeLessThan(SLACK);
  }
});

test("a user selected at some percentage is selected at every larger one", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 10_000 }),
      fc.integer({ min: 0, max: 10_000 }),
      fc.string({ minLength: 1 }),
      (a, b, key) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)];
        expect(rollout(less)(key) && !rollout(more)(key)).toBe(false);
      },
    ),
  );
});

test("a user stays where they are, whatever else is in their context and in the set", () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), fc.dictionary(fc.string(), fc.jsonValue()), (targetingKey, others) => {
      const rest = Object.fromEntries(Object.entries(others).filter(([name]) => name !== "targetingKey"));
      const rule = "variants: { on: true, off: false }, defaultVariant: off, rules: [{ split: { on: 50, off: 50 } }]";
      const small = flags(`flags: { f: { ${rule} } }`);
      const large = flags(`flags: { g: { ${rule} }, f: { ${rule} } }`);
      const expected = variantOf(small, "f", { targetingKey });
      expect(variantOf(large, "f", { ...rest, targetingKey })).toBe(expected);
    }),
  );
});

test("the place is the documented hash, so that any program finds the same", () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), (targetingKey) => {
      const digest = createHash("sha256").update(`checkout:${targetingKey}`, "utf8").digest();
      const place = Math.floor((digest.readUInt32BE(0) * 10_000) / 2 ** 32);
      expect(splitPlaceOf("checkout", targetingKey)).toBe(place);
      expect(rollout(place, { key: "checkout" })(targetingKey)).toBe(false);
      expect(rollout(place + 1, { key: "checkout" })(targetingKey)).toBe(true);
    }),
  );
  // A change of the hash moves every user of every flag.
  const set = flags(
    "flags: { f: { variants: { on: 1, off: 2 }, defaultVariant: off, rules: [{ split: { on: 50, off: 50 } }] } }",
  );
  expect(["ann", "bob", "eve", "joe"].map((targetingKey) => variantOf(set, "f", { targetingKey }))).toEqual([
    "on",
    "off",
    "off",
    "off",
  ]);
});

test("two flags draw apart, and together under one salt", () => {
  const both = (a: (user: string) => boolean, b: (user: string) => boolean) =>
    users.filter((user) => a(user) && b(user)).length;
  const apart = both(rollout(5000, { key: "a" }), rollout(5000, { key: "b" }));
  expect(Math.abs(apart - 2500)).toBeLessThan(SLACK);
  const one = rollout(5000, { key: "a", salt: "s" });
  const other = rollout(5000, { key: "b", salt: "s" });
  expect(users.every((user) => one(user) === other(user))).toBe(true);
});

test("a split by another attribute is sticky by that one, and says when it is missing", () => {
  const set = flags(`
flags:
  f:
    variants: { on: true, off: false }
    defaultVariant: off
    rules: [{ split: { on: 50, off: 50 }, by: company.id }]
`);
  const first = variantOf(set, "f", { targetingKey: "u1", company: { id: 7 } });
  for (const targetingKey of users.slice(0, 50)) {
    expect(variantOf(set, "f", { targetingKey, company: { id: 7 } })).toBe(first);
    expect(variantOf(set, "f", { targetingKey, company: { id: "7" } })).toBe(first);
  }
  expect(variantOf(set, "f", { targetingKey: "u1" })).toBe("INVALID_CONTEXT");
  expect(variantOf(set, "f", { targetingKey: "u1", company: { id: {} } })).toBe("INVALID_CONTEXT");
});

test("a split by the targeting key reports a missing key", () => {
  const set = flags("flags: { f: { variants: { a: 1 }, defaultVariant: a, rules: [{ split: { a: 100 } }] } }");
  for (const context of [{}, { targetingKey: "" }, { targetingKey: null }, { targetingKey: ["a"] }]) {
    expect(variantOf(set, "f", context)).toBe("TARGETING_KEY_MISSING");
  }
});
