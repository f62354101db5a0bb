/** Problems in a set of flags are reported by line and column, before the set takes effect. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { depthOf, FLAGS_MAX, FlagSets, PATTERNS_MAX, readFlags, wasEvaluated } from "#flags/core";
import { flags, problems } from "./kit.ts";

/** A boolean flag with one rule, whose condition begins in line 6, column 15. */
const rule = (when: string) => `flags:
  f:
    variants: { on: true, off: false }
    defaultVariant: off
    rules:
      - when: ${when}
        variant: on
`;
const flag = (rest: string) => `flags:\n  f: { variants: { on: true, off: false }, ${rest} }\n`;

const wrong: readonly [what: string, text: string, said: readonly (string | RegExp)[]][] = [
  ["no YAML", "flags: [", [/^\d+:\d+ {2}/]],
  ["no flags", "segments: {}", ['1:1  Missing: "flags".']],
  ["a list", "[]", [/^1:1 /]],
  [
    "an unknown default",
    flag("defaultVariant: nope"),
    ['2:60 /flags/f/defaultVariant Variant "nope" is not defined in variants.'],
  ],
  [
    "an unknown variant of a rule",
    flag("defaultVariant: on, rules: [{ variant: x }]"),
    [/^2:\d+ \/flags\/f\/rules\/0\/variant Variant "x" is not defined in variants/],
  ],
  [
    "an unknown variant of a split",
    flag("defaultVariant: on, rules: [{ split: { on: 50, blue: 50 } }]"),
    [/\/split\/blue Variant "blue" is not defined in variants/],
  ],
  [
    "mixed types",
    "flags: { f: { variants: { a: true, b: 1 }, defaultVariant: a } }",
    [
      '1:39 /flags/f/variants/b All variants must have the same type, but "a" is of type boolean and "b" of type number.',
    ],
  ],
  [
    "no value",
    "flags: { f: { variants: { a: null }, defaultVariant: a } }",
    [/\/variants\/a A value must be a boolean/],
  ],
  [
    "an endless number",
    "flags: { f: { variants: { a: .inf }, defaultVariant: a } }",
    [/\/variants\/a A value must be/],
  ],
  [
    "percentages below 100",
    flag("defaultVariant: on, rules: [{ split: { on: 10, off: 80 } }]"),
    [/\/rules\/0\/split The percentages sum to 90, but must sum to 100\./],
  ],
  [
    "percentages above 100",
    flag("defaultVariant: on, rules: [{ split: { on: 60, off: 60 } }]"),
    [/The percentages sum to 120, but must sum to 100\./],
  ],
  [
    "finer steps than there are places",
    flag("defaultVariant: on, rules: [{ split: { on: 0.005, off: 99.995 } }]"),
    [/\/split\/on 0.005 % is not a multiple of 0.01 %\./, /\/split\/off/, /sum to 100.01/],
  ],
  ["an unknown operator", rule("{ attribute: a, like: x }"), ['6:37 /flags/f/rules/0/when/like Unknown field "like".']],
  [
    "no operator",
    rule("{ attribute: a }"),
    [/^6:15 \/flags\/f\/rules\/0\/when The condition on "a" has no operator; add one of equals, in, /],
  ],
  ["no attribute", rule("{ equals: a }"), [/A condition must have exactly one of/]],
  ["an operator of a list", rule("{ all: [{ attribute: a, equals: 1 }], equals: 1 }"), [/"equals" needs an attribute/]],
  ["two kinds", rule("{ attribute: a, equals: 1, segment: s }"), [/A condition must have exactly one of/]],
  ["an operand of another type", rule("{ attribute: a, gt: many }"), [/^6:35 .*\/gt Must be number/]],
  [
    "a bad version",
    rule("{ attribute: a, semver: '>=2' }"),
    [/^6:39 .*\/semver ">=2" is not a comparison with a semantic version/],
  ],
  [
    "a version with a leading zero",
    rule("{ attribute: a, semver: 01.0.0 }"),
    [/\/semver "01.0.0" is not a comparison/],
  ],
  [
    "a bad pattern",
    rule("{ attribute: a, matches: '(a' }"),
    [/\/matches Invalid pattern in RE2's syntax: .*missing closing/],
  ],
  ["a lookahead", rule("{ attribute: a, matches: '(?=a)' }"), [/\/matches Invalid pattern/]],
  ["a pattern that grows", rule("{ attribute: a, matches: '((a{999}){999}){999}' }"), [/\/matches Invalid pattern/]],
  [
    "an unknown segment",
    rule("{ segment: staff }"),
    ['6:26 /flags/f/rules/0/when/segment Segment "staff" is not defined in segments.'],
  ],
  [
    "a segment that refers to itself",
    "segments: { a: { segment: a } }\nflags: {}\n",
    ['1:27 /segments/a/segment Segment "a" refers to itself.'],
  ],
  [
    "segments in a ring",
    "segments:\n  a: { not: { segment: b } }\n  b: { any: [{ segment: c }] }\n  c: { segment: a }\nflags: {}\n",
    ['4:17 /segments/c/segment Segment "a" refers to itself.'],
  ],
  [
    "a rule without an outcome",
    flag("defaultVariant: on, rules: [{}]"),
    [/\/rules\/0 A rule must have either a variant or a split\./],
  ],
  [
    "a rule with two",
    flag("defaultVariant: on, rules: [{ variant: on, split: { on: 100 } }]"),
    [/A rule must have either/],
  ],
  [
    "`by` without a split",
    flag("defaultVariant: on, rules: [{ variant: on, by: a }]"),
    [/\/by `by` belongs to a split/],
  ],
  [
    "a rule that is never reached",
    flag("defaultVariant: on, rules: [{ variant: on }, { variant: off }]"),
    [/\/rules\/0 A rule without `when` always applies/],
  ],
  ["a variant named by JavaScript", "flags: { f: { variants: { __proto__: 1 }, defaultVariant: a } }", [/__proto__/]],
  ["a flag named by JavaScript", "flags: { __proto__: {} }", ['1:21 /flags/__proto__ Unknown field "__proto__".']],
  ["a field of old", flag("defaultVariant: on, targeting: {}"), ['2:75 /flags/f/targeting Unknown field "targeting".']],
];

test.each(wrong)("%s is refused at its place", (_what, text, said) => {
  const found = problems(text);
  expect(found).toHaveLength(said.length);
  for (const [index, expected] of said.entries()) {
    if (typeof expected === "string") expect(found[index]).toBe(expected);
    else expect(found[index]).toMatch(expected);
  }
});

test("all that is wrong is said at once", () => {
  const text = `flags:
  a: { variants: { on: true }, defaultVariant: x }
  b: { variants: { on: true, n: 1 }, defaultVariant: on }
`;
  expect(problems(text).map((problem) => problem.split(" ", 2).join(" "))).toEqual([
    "2:48 /flags/a/defaultVariant",
    "3:33 /flags/b/variants/n",
  ]);
});

test("of very many problems the first fifty are said", () => {
  const flags = (definition: object) => Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`f${i}`, definition]));
  const unknown = flags({ variants: { on: true }, defaultVariant: "off" });
  expect(problems(JSON.stringify({ flags: unknown }))).toHaveLength(50);
});

test("a set has so many different patterns, each as often as it likes", () => {
  const set = (count: number) => {
    const any = Array.from({ length: count }, (_, index) => ({
      attribute: "a",
      matches: `^${index % (PATTERNS_MAX + 1)}$`,
    }));
    const rules = [
      { when: { any: any.slice(0, 100) }, variant: "on" },
      { when: { any: any.slice(100) }, variant: "on" },
    ];
    return JSON.stringify({ flags: { f: { variants: { on: true }, defaultVariant: "on", rules } } });
  };
  expect(problems(set(PATTERNS_MAX + 1))).toEqual([
    expect.stringMatching(/any\/0\/matches The set has more than 100 different patterns/),
  ]);
  const same = Array.from({ length: 100 }, () => ({ attribute: "a", matches: "^x" }));
  const rules = Array.from({ length: 5 }, () => ({ when: { any: same }, variant: "on" }));
  expect(flags(JSON.stringify({ flags: { f: { variants: { on: true }, defaultVariant: "on", rules } } })).keys).toEqual(
    ["f"],
  );
});

test("depth, aliases and sizes have limits, and a text of brackets does not end the process", () => {
  expect(problems("[".repeat(100_000))[0]).toBeDefined();
  expect(problems(`flags: ${"[".repeat(40)}${"]".repeat(40)}`)).toEqual([
    "1:1  The document is nested deeper than 32 levels.",
  ]);
  expect(problems("flags: &a [*a]")).toEqual(["1:1  The document is nested deeper than 32 levels."]);
  const bomb = `a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [${"*a,".repeat(20)}]\nc: &c [${"*b,".repeat(20)}]\nflags: [${"*c,".repeat(20)}]`;
  expect(problems(bomb)[0]).toMatch(/aliases/);
  const many = Array.from({ length: FLAGS_MAX + 1 }, (_, index) => [
    `f${index}`,
    { variants: { a: 1 }, defaultVariant: "a" },
  ]);
  expect(problems(JSON.stringify({ flags: Object.fromEntries(many) }))).toEqual([
    expect.stringMatching(/\/flags Must not have more than 1000/),
  ]);
});

test("a text is compiled once for all profiles that contain it, and each answer names its own release", () => {
  const sets = new FlagSets();
  const value = "flags: { f: { variants: { a: { x: 1 } }, defaultVariant: a } }";
  const of = (profile: string, version: number) => {
    const flags = sets.of({
      namespace: "default",
      app: "orders",
      profile,
      revision: 1,
      releaseKey: `${profile}-${version}`,
      items: { "flags.yaml": { format: "yaml", value, origin: { profile: "default", version } } },
    });
    if (!("set" in flags)) throw new Error("no set");
    return flags.set.evaluate("f", {});
  };
  const [first, second] = [of("a", 1), of("b", 2)];
  if (!wasEvaluated(first) || !wasEvaluated(second)) throw new Error("no value");
  expect(second.value).toBe(first.value);
  expect([first.metadata, second.metadata]).toEqual([
    { profile: "default", version: 1, releaseKey: "a-1" },
    { profile: "default", version: 2, releaseKey: "b-2" },
  ]);
});

test("so many texts are kept compiled, and the least recently used goes first", () => {
  const sets = new FlagSets();
  const valueOf = (at: number) => {
    const value = `flags: { f: { variants: { a: { at: ${at} } }, defaultVariant: a } }`;
    const origin = { profile: "default", version: 1 };
    const items = { "flags.yaml": { format: "yaml" as const, value, origin } };
    const config = { namespace: "default", app: "orders", profile: "default", revision: 1, releaseKey: "k", items };
    const flags = sets.of(config);
    const evaluation = "set" in flags ? flags.set.evaluate("f", {}) : undefined;
    return evaluation && wasEvaluated(evaluation) ? evaluation.value : undefined;
  };
  const kept = Array.from({ length: 256 }, (_, at) => valueOf(at));
  expect(valueOf(0)).toBe(kept[0]);
  valueOf(256);
  expect([valueOf(0) === kept[0], valueOf(2) === kept[2], valueOf(255) === kept[255]]).toEqual([true, true, true]);
  expect(valueOf(1)).toEqual({ at: 1 });
  expect(valueOf(1)).not.toBe(kept[1]);
});

test("a document may be 32 levels deep, and no deeper", () => {
  const nested = (levels: number): unknown => (levels === 1 ? 1 : [nested(levels - 1)]);
  expect([depthOf(1), depthOf(null), depthOf({}), depthOf({ a: [1, { b: 2 }] })]).toEqual([1, 1, 1, 4]);
  expect([depthOf(nested(32)), depthOf(nested(33)), depthOf(nested(50))]).toEqual([32, 33, 33]);
  // The value of a variant is five levels deep.
  const text = (levels: number) =>
    JSON.stringify({ flags: { f: { variants: { a: nested(levels) }, defaultVariant: "a" } } });
  expect(problems(text(28))).toEqual([]);
  expect(problems(text(29))).toEqual(["1:1  The document is nested deeper than 32 levels."]);
});

const names = fc.constantFrom(
  "flags",
  "segments",
  "f",
  "variants",
  "defaultVariant",
  "rules",
  "when",
  "split",
  "not",
  "__proto__",
);
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    fc.jsonValue({ maxDepth: 2 }),
    fc.array(tie("tree"), { maxLength: 3 }),
    fc.dictionary(names, tie("tree"), { maxKeys: 4 }),
  ),
}));

test("any text is read as flags or problems, and any question is answered: nothing throws", () => {
  const set = flags(`
flags:
  f:
    variants: { on: 1, off: 2 }
    defaultVariant: off
    rules:
      - { when: { any: [{ attribute: a.b, matches: "^x" }, { attribute: a, semver: ^1.0.0 }, { attribute: f, contains: x }] }, variant: on }
      - { split: { on: 50, off: 50 }, by: variants.f }
`);
  fc.assert(
    fc.property(tree, (value) => {
      const read = readFlags(JSON.stringify(value));
      expect(read.problems === undefined || read.problems.length > 0).toBe(true);
      const evaluation = set.evaluate("f", { a: value, f: value, variants: value });
      expect(wasEvaluated(evaluation) || evaluation.errorCode === "INVALID_CONTEXT").toBe(true);
    }),
    { numRuns: 200 },
  );
});

test("JSON is YAML, an empty text is a set without flags, and YAML's on and off are names", () => {
  expect(flags('{"flags":{"f":{"variants":{"a":1},"defaultVariant":"a"}}}').keys).toEqual(["f"]);
  expect(flags("").keys).toEqual([]);
  expect(flags("flags: { f: { variants: { on: true, off: false }, defaultVariant: off } }").keys).toEqual(["f"]);
});
