/** Conditions on an evaluation context, operator by operator; and malicious contexts. */
import { expect, test } from "vitest";
import { MATCHED_CHARS_MAX, wasEvaluated } from "#flags/core";
import { attributeReader } from "../../flags/core/condition.ts";
import { compareVersions, parseVersion } from "../../flags/core/semver.ts";
import { condition, flags, variantOf } from "./kit.ts";

const holds: readonly [when: object, yes: readonly unknown[], no: readonly unknown[]][] = [
  [{ equals: "a" }, ["a"], ["A", "ab", 1, null, undefined, ["a"]]],
  [{ equals: 1 }, [1], ["1", true, 1.5]],
  [{ equals: true }, [true], ["true", 1, false]],
  [{ in: ["CH", "DE", 3] }, ["CH", "DE", 3], ["FR", "3", undefined, ["CH"]]],
  [{ startsWith: "ab" }, ["ab", "abc"], ["b", "Abc", 12, undefined]],
  [{ endsWith: "@example.com" }, ["x@example.com"], ["x@example.com.evil", 1]],
  [{ contains: "b" }, ["abc", ["a", "b"]], ["ac", ["abc"], undefined, { b: 1 }]],
  [{ contains: 2 }, [[1, 2]], [["2"], 12]],
  [{ matches: "^v[0-9]+$" }, ["v1", "v22"], ["av1", "v1b", 1]],
  [{ matches: "b+" }, ["abbc"], ["ac"]],
  [{ gt: 3 }, [3.1, 4], [3, "4", Number.NaN, undefined]],
  [{ gte: 3, lt: 5 }, [3, 4.99], [2.9, 5]],
  [{ lte: 3 }, [3, -1], [3.01, null]],
  [{ exists: true }, ["", 0, false, []], [undefined, null]],
  [{ exists: false }, [undefined, null], ["", 0]],
  [{ semver: ">=2.1.0" }, ["2.1.0", "2.1", "v2.1", "3", "2.1.1-rc.1", "2.1.0+build"], ["2.0.9", "2.1.0-rc.1", "x", 2]],
  [{ semver: ">=1.0.0 <2.0.0" }, ["1.0.0", "1.9.9"], ["2.0.0", "0.9.9"]],
  [{ semver: "^1.2.3" }, ["1.2.3", "1.9.0"], ["1.2.2", "2.0.0", "2.0.0-rc.1"]],
  [{ semver: ">2.0.0" }, ["2.0.1", "2.1.0", "3.0.0", "2.0.1-rc.1"], ["2.0.0", "2.0.0+build", "1.9.9", "2.0.0-rc.1"]],
  [{ semver: "^0.2.3" }, ["0.2.9"], ["0.3.0"]],
  [{ semver: "^0.1.0" }, ["0.1.0", "0.1.9"], ["0.0.9", "0.2.0", "1.1.0"]],
  [{ semver: "^0.0.3" }, ["0.0.3"], ["0.0.4"]],
  [{ semver: "~1.2.3" }, ["1.2.9"], ["1.3.0"]],
  [{ semver: "=1.0.0" }, ["1.0.0"], ["1.0.1"]],
  [{ semver: "1.0.0" }, ["1.0.0"], ["1.0.1"]],
  [{ semver: "!=1.0.0" }, ["1.0.1"], ["1.0.0", "not a version"]],
  [{ semver: "<=1.0.0-beta.11" }, ["1.0.0-beta.2", "1.0.0-alpha", "1.0.0-1"], ["1.0.0-rc.1", "1.0.0", "1.0.0-beta.x"]],
];

test.each(holds)("%j holds for what it says, and for nothing else", (when, yes, no) => {
  const asked = condition({ attribute: "a", ...when });
  for (const a of yes) expect(asked({ a }), JSON.stringify(a)).toBe(true);
  for (const a of no) expect(asked({ a }), JSON.stringify(a)).toBe(false);
});

test("versions are in the order of the specification's own example", () => {
  const order = [
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.9.z",
    "1.0.0-alpha.10",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.3",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
  ];
  for (const [index, bound] of order.entries()) {
    const below = condition({ attribute: "v", semver: `<${bound}` });
    expect(order.map((v) => below({ v }))).toEqual(order.map((_, other) => other < index));
  }
});

test("conditions combine: all, any, not, and segments that refer to segments", () => {
  const asked = condition(
    {
      all: [{ segment: "europe" }, { not: { attribute: "plan", equals: "free" } }],
    },
    {
      dach: { attribute: "country", in: ["CH", "DE", "AT"] },
      europe: { any: [{ segment: "dach" }, { attribute: "country", equals: "FR" }] },
    },
  );
  expect(asked({ country: "CH", plan: "pro" })).toBe(true);
  expect(asked({ country: "FR" })).toBe(true);
  expect(asked({ country: "CH", plan: "free" })).toBe(false);
  expect(asked({ country: "US", plan: "pro" })).toBe(false);
});

test("dots go into objects, a name with a dot goes before, and a date counts as its ISO text", () => {
  const asked = condition({ attribute: "user.plan", equals: "pro" });
  expect(asked({ user: { plan: "pro" } })).toBe(true);
  expect(asked({ "user.plan": "pro", user: { plan: "free" } })).toBe(true);
  expect(asked({ user: "pro" })).toBe(false);
  expect(condition({ attribute: "since", startsWith: "2026-" })({ since: new Date(Date.UTC(2026, 3)) })).toBe(true);
  expect(condition({ attribute: "since", exists: true })({ since: new Date(Number.NaN) })).toBe(false);
});

test("a reader finds an attribute by its whole name, then by its dots, and dates as texts", () => {
  const read = (name: string, context: Record<string, unknown>) => attributeReader(name)(context);
  expect([read("a", { a: 1 }), read("a", {}), read("a.b", { a: { b: 2 } }), read("a.b", { "a.b": 3 })]).toEqual([
    1,
    undefined,
    2,
    3,
  ]);
  expect([read("a.b", { a: "b" }), read("at", { at: new Date(0) }), read("at", { at: new Date(Number.NaN) })]).toEqual([
    undefined,
    "1970-01-01T00:00:00.000Z",
    undefined,
  ]);
});

test("a version is whole, or loose where an app says it of itself, and ordered by the specification", () => {
  const version = (text: string, loose = false) => parseVersion(text, { loose })?.numbers;
  expect([version("1.2.3"), version("1.2"), version("v1.2.3"), version("01.2.3")]).toEqual([
    [1, 2, 3],
    undefined,
    undefined,
    undefined,
  ]);
  expect([version("v2", true), version("2.1", true), version("1.0.0-01", true)]).toEqual([
    [2, 0, 0],
    [2, 1, 0],
    undefined,
  ]);
  const order = ["1.0.0-1", "1.0.0-2", "1.0.0-10", "1.0.0-a", "1.0.0-a.1", "1.0.0", "1.0.1", "1.1.0", "2.0.0"];
  const signs = (text: string) =>
    order.map((other) => {
      const [a, b] = [parseVersion(text, { loose: false }), parseVersion(other, { loose: false })];
      return a && b ? Math.sign(compareVersions(a, b)) : undefined;
    });
  for (const [index, text] of order.entries()) {
    expect([text, signs(text)]).toEqual([text, order.map((_, other) => Math.sign(index - other))]);
  }
});

test("inherited properties are not attributes of a context", () => {
  for (const attribute of ["__proto__", "constructor", "toString", "constructor.name", "__proto__.admin"]) {
    expect(condition({ attribute, exists: true })({}), attribute).toBe(false);
  }
  const polluted = JSON.parse('{"__proto__":{"admin":true}}') as Record<string, unknown>;
  expect(condition({ attribute: "admin", equals: true })(polluted)).toBe(false);
  const set = flags("flags: { f: { variants: { on: true }, defaultVariant: on } }");
  for (const key of ["__proto__", "constructor", "toString"]) expect(variantOf(set, key, {})).toBe("FLAG_NOT_FOUND");
});

test("a pattern that would backtrack for ever elsewhere is answered, and a document is not matched at all", () => {
  const asked = condition({ attribute: "a", matches: "^(a+)+$" });
  const begun = performance.now();
  expect(asked({ a: `${"a".repeat(MATCHED_CHARS_MAX - 1)}!` })).toBe(false);
  expect(asked({ a: "a".repeat(MATCHED_CHARS_MAX) })).toBe(true);
  expect(asked({ a: "a".repeat(MATCHED_CHARS_MAX + 1) })).toBe(false);
  // Exponential time would be longer than the universe is old.
  expect(performance.now() - begun).toBeLessThan(10_000);
});

test("the first rule that holds decides, and the reason says how", () => {
  const set = flags(`
flags:
  plain: { variants: { a: x }, defaultVariant: a }
  off: { state: disabled, variants: { a: 1, b: 2 }, defaultVariant: a, rules: [{ variant: b }] }
  ruled:
    variants: { a: { limit: 1 }, b: { limit: 2 }, c: { limit: 3 } }
    defaultVariant: a
    metadata: { owner: shop }
    rules:
      - { name: staff, when: { attribute: staff, equals: true }, variant: b }
      - { when: { attribute: beta, equals: true }, split: { c: 100 } }
`);
  const metadata = { profile: "default", version: 1, releaseKey: "k" };
  const about = { ...metadata, owner: "shop" };
  expect(set.evaluate("plain", {})).toEqual({ key: "plain", value: "x", variant: "a", reason: "STATIC", metadata });
  expect(set.evaluate("off", {})).toMatchObject({ value: 1, reason: "DISABLED" });
  expect(set.evaluate("ruled", {})).toMatchObject({ value: { limit: 1 }, reason: "DEFAULT", metadata: about });
  expect(set.evaluate("ruled", { staff: true, beta: true })).toMatchObject({
    value: { limit: 2 },
    reason: "TARGETING_MATCH",
    metadata: { ...about, rule: "staff" },
  });
  expect(set.evaluate("ruled", { beta: true, targetingKey: "u" })).toMatchObject({ variant: "c", reason: "SPLIT" });
  expect(set.evaluateAll({ beta: true }).map((one) => (wasEvaluated(one) ? one.reason : one.errorCode))).toEqual([
    "STATIC",
    "DISABLED",
    "TARGETING_KEY_MISSING",
  ]);
});

test("changing a returned value does not change later evaluations", () => {
  const set = flags("flags: { f: { variants: { a: { list: [1] } }, defaultVariant: a } }");
  const evaluation = set.evaluate("f", {});
  if (!wasEvaluated(evaluation)) throw new Error("not evaluated");
  expect(() => (evaluation.value as { list: number[] }).list.push(2)).toThrow(TypeError);
  expect(set.evaluate("f", {})).toMatchObject({ value: { list: [1] } });
});

test("changes are reported by flag: the flag's own, those of segments that it depends on, and no others", () => {
  const text = (domain: string, b: string) => `
segments:
  inner: { attribute: email, endsWith: "${domain}" }
  staff: { not: { segment: inner } }
flags:
  a: { variants: { on: true }, defaultVariant: on, rules: [{ when: { segment: staff }, variant: on }] }
  b: { variants: { x: ${b} }, defaultVariant: x }
  c: { variants: { on: true }, defaultVariant: on }
`;
  const set = flags(text("@a", "1"));
  expect(flags(text("@a", "1")).changedSince(set)).toEqual([]);
  expect(flags(text("@b", "1")).changedSince(set)).toEqual(["a"]);
  expect(flags(text("@a", "2")).changedSince(set)).toEqual(["b"]);
  expect(flags("flags: { c: { variants: { on: true }, defaultVariant: on } }").changedSince(set)).toEqual(["a", "b"]);
});
