/** A config value's text becomes the data that its format says. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { VALUE_FORMATS } from "#base";
import { readValue } from "#base/formats";

test("each format is read as its data", () => {
  expect(readValue({ format: "yaml", value: "a: [1, x]" })).toEqual({ a: [1, "x"] });
  expect(readValue({ format: "json", value: '{"a":1}' })).toEqual({ a: 1 });
  expect(readValue({ format: "toml", value: "[a]\nb = 1" })).toEqual({ a: { b: 1 } });
  expect(readValue({ format: "text", value: "a: 1" })).toBe("a: 1");
  expect(readValue({ format: "binary", value: "AAEC/w==" })).toEqual(Uint8Array.of(0, 1, 2, 255));
});

test("properties are read as Java reads them", () => {
  const value = [
    "# a comment \\",
    "! and another",
    "plain=value",
    "colon : spaced out ",
    "blank only",
    "bare",
    "long = one, \\",
    "    two",
    "path=C:\\\\",
    "next=1",
    "a\\ b\\=c=caf\\u00e9\\tx",
  ].join("\n");
  expect(readValue({ format: "properties", value })).toEqual({
    plain: "value",
    colon: "spaced out ",
    blank: "only",
    bare: "",
    long: "one, two",
    path: "C:\\",
    next: "1",
    "a b=c": "café\tx",
  });
});

test("a YAML text whose aliases stand for gigabytes is refused, not expanded", () => {
  const bomb = ["a0: &a0 [x, x]", ...Array.from({ length: 40 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}]`)];
  expect(() => readValue({ format: "yaml", value: bomb.join("\n") })).toThrow(/alias/i);
});

test("a key that is there twice, bad base64 and an unknown format are refused", () => {
  expect(() => readValue({ format: "yaml", value: "a: 1\na: 2" })).toThrow(/unique/);
  expect(() => readValue({ format: "binary", value: "&&&&" })).toThrow("not valid base64");
  expect(() => readValue({ format: "unknown", value: "" })).toThrow('"unknown"');
});

test("an extension belongs to one format, and the guides name every format", () => {
  const extensions = Object.values(VALUE_FORMATS).flatMap((format): readonly string[] => format.extensions);
  expect(extensions).toEqual([...new Set(extensions)]);
  const textOf = (guide: string) => readFileSync(new URL(`../../docs/guides/${guide}.md`, import.meta.url), "utf8");
  const [, list = ""] = /^The formats are (.*)\./m.exec(textOf("config")) ?? [];
  const [, rows = ""] = /^\| format \|.*\n((?:\|.*\n)+)/m.exec(textOf("node-client")) ?? [];
  for (const name of Object.keys(VALUE_FORMATS)) {
    expect(list).toContain(`\`${name}\``);
    expect(rows).toContain(`\`${name}\``);
  }
});
