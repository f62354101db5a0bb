/** Filter expressions: their meaning, and their error messages. */
import { array, assert, constantFrom, oneof, property, string } from "fast-check";
import { expect, test } from "vitest";
import { AppError } from "#base";
import { testInstance } from "../kit/instance.ts";
import { FILTER_DEPTH_MAX, parseFilter } from "../../registry/core/selector.ts";

const INSTANCE = testInstance({
  ports: [{ name: "admin", port: 9090, protocol: "http" }],
  tags: ["v2", "gold"],
  metadata: { tier: "gold", "build.id": "7", quote: 'say "hi"' },
  version: "2.3.1",
  zone: "eu-1",
});

test.each([
  [`"v2" in tags`, true],
  [`v2 in tags`, true],
  [`"v3" in tags`, false],
  [`admin in ports`, true],
  [`zone == "eu-1"`, true],
  [`zone != eu-1`, false],
  [`version startswith "2."`, true],
  [`metadata.tier == gold and metadata.build.id == "7"`, true],
  [`metadata.quote == "say \\"hi\\""`, true],
  [`metadata.absent == ""`, true],
  [`metadata.absent is empty`, true],
  [`metadata is not empty`, true],
  [`tags is empty`, false],
  [`owner is empty`, true],
  [`port == 8080 and status == passing and lifecycle == serving`, true],
  [`zone == us or zone == eu-1`, true],
  [`v2 in tags and zone == us`, false],
  [`v2 in tags and gold in tags and zone == us`, false],
  [`zone == us or port == 1 or v2 in tags`, true],
  [`zone == us and zone == eu-1 or v2 in tags`, true],
  [`zone == us and (zone == eu-1 or v2 in tags)`, false],
  [`not zone == us`, true],
  [`not (v2 in tags or v3 in tags)`, false],
  [`not not v2 in tags`, true],
  [`  "v2"   in\ttags  `, true],
])("%s", (filter, expected) => {
  expect(parseFilter(filter)(INSTANCE)).toBe(expected);
});

test.each([
  ["", 1, "found the end"],
  ["   ", 4, "found the end"],
  ["zone", 5, '"=="'],
  ["zone ==", 8, "expected a value"],
  ["zone == eu and", 15, "found the end"],
  ["(zone == eu", 12, 'expected ")"'],
  ["zone == eu)", 11, '"and", "or" or the end'],
  ["color == red", 1, '"color" is not a field'],
  ["red in colors", 8, '"colors" is not a list'],
  ["zone is empti", 9, 'expected "empty"'],
  ['zone == "eu', 9, "expected"],
  ["zone = eu", 6, "expected"],
  ['"a" == zone', 5, 'expected "in"'],
  ["__proto__ == x", 1, "is not a field"],
  ["constructor in toString", 16, "is not a list"],
  ["zone == eu; drop", 11, "expected"],
])("%j is refused at character %i", (filter, character, detail) => {
  try {
    parseFilter(filter);
    expect.unreachable();
  } catch (error) {
    expect(error).toMatchObject({ code: "REGISTRY_FILTER_INVALID", extra: { field: "/filter", character } });
    expect((error as Error).message).toContain(detail);
  }
});

test("depth has an end, and a filter that is merely long is fine", () => {
  const nested = (depth: number) => `${"(".repeat(depth)}zone == eu-1${")".repeat(depth)}`;
  expect(parseFilter(nested(FILTER_DEPTH_MAX - 1))(INSTANCE)).toBe(true);
  expect(() => parseFilter(nested(FILTER_DEPTH_MAX))).toThrow("levels");
  expect(() => parseFilter("not ".repeat(10_000))).toThrow("levels");
  expect(parseFilter(Array.from({ length: 500 }, () => "zone == us").join(" or "))(INSTANCE)).toBe(false);
});

test("any text is a filter or a clear refusal, and never anything else", () => {
  const word = constantFrom("zone", "tags", "in", "is", "not", "and", "or", "empty", "(", ")", "==", '"', "\\", "x.");
  const text = oneof(
    string({ maxLength: 60 }),
    array(word, { maxLength: 20 }).map((words) => words.join(" ")),
  );
  assert(
    property(text, (filter) => {
      try {
        expect(typeof parseFilter(filter)(INSTANCE)).toBe("boolean");
      } catch (error) {
        expect(error instanceof AppError && error.code).toBe("REGISTRY_FILTER_INVALID");
      }
    }),
    { numRuns: 2_000 },
  );
});

test("any text in quotes equals itself", () => {
  assert(
    property(string({ minLength: 1, maxLength: 40 }), (value) => {
      const quoted = value.replaceAll(/["\\]/g, String.raw`\$&`);
      expect(parseFilter(`metadata.k == "${quoted}"`)({ ...INSTANCE, metadata: { k: value } })).toBe(true);
    }),
  );
});
