/** A JSON Schema's check takes time in proportion to what a caller sends, keyword by keyword; and says the same as Ajv's. */
import { Ajv2020 } from "ajv/dist/2020.js";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { compileBounded } from "../../../gateway/bounded-schema.ts";

const numbers = (count: number) => Array.from({ length: count }, (_, a) => ({ a }));
const named = (count: number) => Object.fromEntries(numbers(count).map(({ a }) => [`k${a}`, a]));
const deep = (depth: number): unknown => (depth === 0 ? 1 : { a: deep(depth - 1) });
const inTurn = { properties: { a: { $ref: "#/$defs/n" } } };

/** Each with a value of a size, which costs about as much per byte at any. */
const KEYWORDS: readonly [keyword: string, schema: Record<string, unknown>, value: (size: number) => unknown][] = [
  ["uniqueItems of objects", { uniqueItems: true }, numbers],
  ["uniqueItems of lists", { items: { uniqueItems: true } }, (size) => [numbers(size).map(({ a }) => [a, { b: a }])]],
  ["contains", { contains: { type: "string" }, minContains: 0 }, numbers],
  ["minContains", { contains: { required: ["a"] }, minContains: 1e9 }, numbers],
  ["maxContains", { contains: { required: ["a"] }, maxContains: 1e9 }, numbers],
  ["items", { prefixItems: [{}], items: { properties: { a: { type: "number" } } } }, numbers],
  [
    "nested anyOf",
    { items: { anyOf: [{ anyOf: [{ type: "string" }, { type: "null" }] }, { type: "object" }] } },
    numbers,
  ],
  ["oneOf", { items: { oneOf: [{ type: "string" }, { minProperties: 1 }] } }, numbers],
  ["enum of objects", { items: { not: { enum: [{ a: "x" }, { b: 1 }] } } }, numbers],
  ["const", { items: { not: { const: { a: { b: 1 } } } } }, numbers],
  ["patternProperties", { patternProperties: { "^(k+)+1": { type: "number" }, "1$": {} } }, named],
  ["propertyNames", { propertyNames: { pattern: "^k" } }, named],
  ["additionalProperties", { properties: { k1: {} }, additionalProperties: { type: "number" } }, named],
  ["unevaluatedProperties", { anyOf: [{ patternProperties: { "^k": {} } }], unevaluatedProperties: false }, named],
  [
    "unevaluatedItems",
    { allOf: [{ prefixItems: [{}] }, { contains: {} }], unevaluatedItems: { type: "object" } },
    numbers,
  ],
  ["dependentSchemas", { dependentSchemas: { k1: { additionalProperties: { type: "number" } } } }, named],
  ["if", { items: { if: { required: ["a"] }, then: { minProperties: 1 }, else: false } }, numbers],
  [
    "maxLength and pattern",
    { items: { maxLength: 1e9, pattern: "(x+x+)+y|^a" } },
    (size) => [`a${"x".repeat(size * 8)}`],
  ],
  ["deep $ref", { $defs: { n: inTurn }, $ref: "#/$defs/n" }, (size) => numbers(size / 200).map(() => deep(100))],
];

/** CPU milliseconds of this thread, because the clock on the wall also counts what the machine does besides. */
const timed = (work: () => void) => {
  const before = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1_000;
};

test.for(KEYWORDS.map(([keyword, schema, value]) => ({ keyword, schema, value })))(
  "$keyword costs in proportion to the value",
  ({ schema, value }) => {
    const check = compileBounded(schema, "body");
    const cost = (size: number) => {
      const text = JSON.stringify(value(size));
      const parsed = JSON.parse(text) as unknown;
      expect(check(parsed, text.length) ?? "").not.toContain("steps");
      return Math.min(...Array.from({ length: 5 }, () => timed(() => check(parsed, text.length))));
    };
    cost(1_000);
    const [small, large] = [cost(4_000), cost(64_000)];
    // Sixteen times the size; all with all would be 256 times the cost, and four thousand million steps, which is seconds on any machine.
    expect(large).toBeLessThan(Math.max(1_000, small * 160));
  },
);

test("megabytes of distinct objects are distinguished in well under the time that comparing all of them takes", () => {
  const value = numbers(60_000);
  const check = compileBounded({ type: "array", uniqueItems: true }, "body");
  const bytes = JSON.stringify(value).length;
  expect(timed(() => expect(check(value, bytes)).toBeUndefined())).toBeLessThan(8_000);
  expect(check([...value, { a: 7 }], bytes)).toBe("it must NOT have duplicate items");
});

test("a schema that doubles the work with each level of a value ends in too many steps", () => {
  const n = { oneOf: ["b", "c"].map((name) => ({ allOf: [inTurn, { required: [name] }] })) };
  const both = { allOf: [inTurn, inTurn] };
  for (const one of [n, both]) {
    const check = compileBounded({ $defs: { n: one }, $ref: "#/$defs/n" }, "body");
    const value = deep(40);
    expect(timed(() => expect(check(value, 300)).toBe("it takes too many steps to check"))).toBeLessThan(2_000);
    expect(check({ a: { a: {} } }, 20) ?? "").not.toContain("steps");
  }
});

test("a value deeper than the stack is refused, and so is a value of a schema that refers to itself endlessly", () => {
  const check = compileBounded({ $defs: { n: { items: { $ref: "#/$defs/n" } } }, $ref: "#/$defs/n" }, "body");
  const value = JSON.parse(`${"[".repeat(60_000)}${"]".repeat(60_000)}`) as unknown;
  expect(check(value, 120_000)).toMatch(/nested too deeply|too many steps/);
  expect(compileBounded({ allOf: [{ $ref: "#" }] }, "body")(1, 1)).toMatch(/nested too deeply|too many steps/);
  expect(compileBounded({ uniqueItems: true }, "body")([value, value], 240_000)).toMatch(/nested|duplicate/);
});

test("notes in a schema do not affect validation, and a property named like a keyword is only a property", () => {
  const schema = {
    "x-note": { $ref: "elsewhere" },
    examples: [1],
    format: "date",
    properties: { items: { type: "string" } },
  };
  const check = compileBounded(schema, "body");
  expect(check({ items: "a" }, 10)).toBeUndefined();
  expect(check({ items: 1 }, 10)).toBe("/items must be string");
  expect(() => compileBounded({ "x-note": {}, $ref: "#/x-note" }, "body")).toThrow(/body: can't resolve reference/);
  expect(() => compileBounded({ type: "texts" }, "body")).toThrow(/body: schema is invalid/);
});

test("two values are equal exactly when Ajv considers them equal, except for names that break Ajv's comparison", () => {
  const item = fc.oneof(
    fc.constantFrom(0, -0, 1, "1", "", null, true, "null", '"1', "[]", '"', "{}"),
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom({ a: 1, b: [1] }, { b: [1], a: 1 }, [], {}, [[]]),
  );
  const odd = /"(valueOf|toString|constructor|__proto__)"/;
  // One for all: each of its own compiles the meta-schema again.
  const ajv = new Ajv2020({ strict: false, logger: false });
  fc.assert(
    fc.property(fc.array(item, { minLength: 1, maxLength: 8 }), item, (items, value) => {
      fc.pre(!odd.test(JSON.stringify([items, value])));
      for (const schema of [
        { uniqueItems: true },
        { items: { const: value } },
        { items: { enum: [value, ...items.slice(1)] } },
      ]) {
        const check = compileBounded(schema, "body");
        expect([schema, check(items, 1_000) === undefined]).toEqual([schema, ajv.compile(schema)(items)]);
      }
    }),
    { numRuns: 150 },
  );
  for (const name of ["valueOf", "toString", "constructor", "__proto__"]) {
    const [one, two] = ["1", "2"].map((text) => JSON.parse(`{"${name}": ${text}}`) as unknown);
    expect(compileBounded({ uniqueItems: true }, "body")([one, two], 30)).toBeUndefined();
    expect(compileBounded({ uniqueItems: true }, "body")([one, one], 30)).toMatch(/duplicate/);
    expect(compileBounded({ const: one }, "body")(one, 15)).toBeUndefined();
    expect(compileBounded({ const: one }, "body")(two, 15)).toBe(`it must be ${JSON.stringify(one)}`);
    expect(compileBounded({ enum: [one, {}] }, "body")(two, 15)).toBe(`it must be one of ${JSON.stringify(one)}, {}`);
  }
});
