/** Filling in changes a placeholder's bytes and no others, and what is filled in reads back as itself. */
import { assert, constantFrom, oneof, property, string } from "fast-check";
import { expect, test } from "vitest";
import { parseDocument } from "yaml";
import { checkSyntax } from "../../config-server/core/format.ts";
import { PLACEHOLDER, type Filling } from "../../config-server/core/formats/fill-in.ts";
import { FORMATS } from "../../config-server/core/formats/mod.ts";
import { readTree } from "../../config-server/core/tree.ts";
import { Literal, readSource, readValue } from "#base/formats";
import type { Format } from "#config-server/api";

type Filled = "yaml" | "json" | "toml" | "properties";

function fillIn(format: Filled, text: string, fill: (string: string) => Filling): string {
  const texts = (string: string) => {
    const filling = fill(string);
    return "texts" in filling ? filling.texts : [];
  };
  return FORMATS[format].fillIn?.(text, { typed: fill, texts }) ?? "";
}

/** A text around one placeholder, in a format, and where its value is found. */
interface Frame {
  readonly format: Filled;
  readonly before: string;
  readonly after: string;
  /** Of the string that the placeholder is in. */
  readonly around: readonly [string, string];
}

const ODD: Record<Filled, string> = {
  yaml: [
    "# mode: ${not} a placeholder's place\nmode: 0644 # octal?\nold: 012\nplus: +5\nbig: 12345678901234567890\n",
    "yes: Yes\nhex: 0x1F\nlist: [ 1.10,  ~ ]\nbase: &b {a: 1}\nmerged: {<<: *b}\n",
  ].join(""),
  json: '"big": 12345678901234567890,  "x": 1.10, "e": 1E+2, "u": "\\u00e9\\/", ',
  toml: [
    "# ${not}\nbig = 12345678901234567\nmode = 0o644\ngrouped = 1_000\n",
    "when = 1979-05-27 07:32:00Z\nt = '''\n$literally''' # text\n",
  ].join(""),
  properties: "# ${not}\n! ${not}\npath=C:\\\\users\\\\x\nlong=a\\\n   b\n  spaced : x \n",
};

const frames: readonly Frame[] = [
  ...["plain", "'", '"'].flatMap((quote): Frame[] => {
    const q = quote === "plain" ? "" : quote;
    return [
      { format: "yaml", before: `${ODD.yaml}v: ${q}`, after: `${q} # end\nw: 007\n`, around: ["", ""] },
      { format: "yaml", before: `${ODD.yaml}v: !!str ${q}a-`, after: `-z${q}\nw: 007\n`, around: ["a-", "-z"] },
      {
        format: "yaml",
        before: `${ODD.yaml}v: [ ${q === "" ? '"' : q}a`,
        after: `z${q === "" ? '"' : q} , 010 ]\n`,
        around: ["a", "z"],
      },
    ];
  }),
  {
    format: "yaml",
    before: `${ODD.yaml}deep:\n  v: |\n    first\n    a`,
    after: "z\n    last\n  w: 007\n",
    around: ["first\na", "z\nlast\n"],
  },
  { format: "yaml", before: `${ODD.yaml}v: >-\n  a`, after: "z\nw: 007\n", around: ["a", "z"] },
  { format: "json", before: `{${ODD.json}"v":  "\\u00e9`, after: '\\n", "w": 1.0}', around: ["é", "\n"] },
  { format: "toml", before: `${ODD.toml}v = "a`, after: 'z" # end\nw = 0x1F\n', around: ["a", "z"] },
  { format: "toml", before: `${ODD.toml}v = 'a`, after: "z' # end\nw = 0x1F\n", around: ["a", "z"] },
  { format: "toml", before: `${ODD.toml}v = """a`, after: 'z"""\nw = 0x1F\n', around: ["a", "z"] },
  { format: "toml", before: `${ODD.toml}[x.y]\nq = [1, {v = '''a`, after: "z'''}]\n", around: ["a", "z"] },
  { format: "properties", before: `${ODD.properties}v = a`, after: "z\nw=\\u00e9\n", around: ["a", "z"] },
  { format: "properties", before: `${ODD.properties}v=`, after: "\nw=\\u00e9\n", around: ["", ""] },
];

/** The value at the member `v`, wherever in the data it is. */
function found(data: unknown): unknown {
  if (Array.isArray(data)) return data.map(found).find((one) => one !== undefined);
  if (typeof data !== "object" || data === null || data instanceof Literal) return undefined;
  const own = Object.entries(data).find(([name]) => name === "v")?.[1] as unknown;
  return own === undefined
    ? Object.values(data)
        .map(found)
        .find((one) => one !== undefined)
    : Array.isArray(own)
      ? own[0]
      : own;
}

const tricky = oneof(
  constantFrom(
    "",
    "x",
    "db.internal",
    "a: b # c",
    "- x",
    "yes",
    "0644",
    "12:30:45",
    "~",
    "a\nb",
    "'",
    '"',
    "\\",
    "{{",
    "]",
    ", ",
    "#",
    " a ",
    "\t",
    "${x}",
    "=1",
    "*a",
    "&a",
    "!x",
    "|",
    "%",
    "@",
    "é\u2028",
  ),
  string({ unit: "grapheme", maxLength: 12 }),
);

test("only the placeholder's bytes change, and what is filled in reads back as itself", () => {
  assert(
    property(constantFrom(...frames), tricky, (frame, value) => {
      const { format, before, after, around } = frame;
      const text = `${before}\${x}${after}`;
      const filled = fillIn(format, text, () => ({ texts: [value] }));
      expect(found(readValue({ format, value: filled }))).toBe(around[0] + value + around[1]);
      // Outside of the string that it is in, no byte changes, whatever is filled in.
      const head = before.slice(0, before.lastIndexOf("v") + 1);
      expect(filled.startsWith(head)).toBe(true);
      const tail = after.slice(Math.max(0, after.search(/\n\s*w| , 010|, "w"/)));
      expect(filled.endsWith(tail)).toBe(true);
      // A plain word fits into every style.
      if (/^[a-z][a-z.]*$/.test(value) && !/^(y|n|yes|no|on|off|true|false|null)$/.test(value))
        expect(filled).toBe(before + value + after);
    }),
    { numRuns: 300 },
  );
});

test("no placeholder and no change give the same bytes", () => {
  for (const { format, before, after } of frames) {
    const text = `${before}plain${after}`;
    expect(fillIn(format, text, () => ({ texts: [] }))).toBe(text);
  }
});

test.each<[Filled, string, Literal, string]>([
  ["yaml", "a: ${x} # c\nb: 0644\n", new Literal("0755", 755, "yaml"), "a: 0755 # c\nb: 0644\n"],
  [
    "yaml",
    "a: ${x}\n",
    new Literal("12345678901234567890", 12345678901234567890n, "json"),
    "a: 12345678901234567890\n",
  ],
  ["yaml", "a: ${x}\n", new Literal("1_000", 1000, "toml"), "a: 1000\n"],
  ["json", '{"a": "${x}", "b":1.0}', new Literal("0755", 755, "yaml"), '{"a": 755, "b":1.0}'],
  [
    "json",
    '{"a": "${x}"}',
    new Literal("0xFFFFFFFFFFFFFFFF", 0xffffffffffffffffn, "yaml"),
    '{"a": 18446744073709551615}',
  ],
  ["toml", "a = '${x}' # c\n", new Literal("0o644", 420, "toml"), "a = 0o644 # c\n"],
])("%s: a number keeps its digits: %s", (format, text, data, expected) => {
  expect(fillIn(format, text, () => ({ data }))).toBe(expected);
});

test("a table is filled in on one line, with its numbers as they are", () => {
  const data = readSource({ format: "yaml", value: "k: 12345678901234567890\nl: [True, 1.10]\n" });
  expect(fillIn("yaml", "a: ${x}\nb: 010\n", () => ({ data }))).toBe(
    'a: {"k": 12345678901234567890, "l": [True, 1.10]}\nb: 010\n',
  );
  expect(fillIn("json", '{"a":"${x}"}', () => ({ data }))).toBe('{"a":{"k":12345678901234567890,"l":[true,1.10]}}');
  expect(fillIn("toml", 'a = "${x}"\n', () => ({ data }))).toBe(
    'a = {"k" = 12345678901234567890, "l" = [true, 1.10]}\n',
  );
});

test("lines that are filled into a block get the block's indentation, at any depth", () => {
  const filled = (text: string) => fillIn("yaml", text, () => ({ texts: ["1\n2"] }));
  expect(filled("v: |\n  a ${x}\n")).toBe("v: |\n  a 1\n  2\n");
  expect(filled("a:\n    v: |\n      ${x}\n      b\n")).toBe("a:\n    v: |\n      1\n      2\n      b\n");
  // A style of one line cannot hold two.
  expect(filled("v: a ${x}\n")).toBe('v: "a 1\\n2"\n');
});

test("a text filled into a properties key is a part of the key", () => {
  const filled = fillIn("properties", "${x}=1\n", (text) => ({
    texts: [...text.matchAll(PLACEHOLDER)].map(() => "a=b:c d#\\\n"),
  }));
  expect(readValue({ format: "properties", value: filled })).toEqual({ "a=b:c d#\\\n": "1" });
});

test("a string stays a string to readers of YAML 1.1, too", () => {
  for (const value of ["yes", "0644", "12:30:45", "2001-01-01", "1_000", "off", ".5"]) {
    const filled = fillIn("yaml", "a: ${x}\n", () => ({ texts: [value] }));
    expect(parseDocument(filled, { version: "1.1" }).toJS(), value).toEqual({ a: value });
  }
});

const problemsOf = (format: Format, value: string) => checkSyntax({ k: { format, value } });

test.each(["path=C:\\\\users\\\\x", "\uFEFFa=1", "a=\\u00e9", "a=b\\", "# \\u in a comment", "a=\\\n\\u0041"])(
  "properties as java.util.Properties.load takes them: %j",
  (value) => {
    expect(problemsOf("properties", value)).toEqual([]);
  },
);

test("an escape that Java refuses is reported with its line, counting continued lines and comments", () => {
  expect(problemsOf("properties", "# \\u\na=1\nb=x\\\n  y\\u12\n")).toMatchObject([{ line: 4, column: 4 }]);
  expect(readValue({ format: "properties", value: "\uFEFFfirst=1\npath=C:\\\\users\\\\x" })).toEqual({
    first: "1",
    path: "C:\\users\\x",
  });
});

test("a member that comes twice is refused in JSON as in YAML, with its line", () => {
  expect(problemsOf("json", '{"a": 1,\n "b": {"c": 1},\n "a": 2}')).toMatchObject([{ line: 3, column: 2 }]);
  expect(problemsOf("json", '{"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}]}')).toEqual([]);
});

test.each<[Format, string]>([
  ["json", '{"a": "\\ud800"}'],
  ["json", '{"\\udc00": 1}'],
  ["yaml", 'a: "\\ud800"'],
  ["properties", "a=\\ud800"],
  ["text", "a\ud800"],
])("half of a surrogate pair is refused in %s: %j", (format, value) => {
  expect(problemsOf(format, value)).toMatchObject([{ key: "k" }]);
  expect(problemsOf("json", '"\\ud83d\\ude00"')).toEqual([]);
});

test("YAML's merge keys are merged, and a large integer is exact in each format", () => {
  const value = "base: &base {a: 1, b: 2}\nuse:\n  <<: *base\n  b: 3\n";
  expect(readValue({ format: "yaml", value })).toMatchObject({ use: { a: 1, b: 3 } });
  const big = 12345678901234567890n;
  expect(readValue({ format: "yaml", value: `a: ${big}\n${big}: x` })).toEqual({ a: big, [String(big)]: "x" });
  expect(readValue({ format: "json", value: `{"a": ${big}, "b": 1}` })).toEqual({ a: big, b: 1 });
  expect(readValue({ format: "toml", value: "a = 9007199254740993" })).toEqual({ a: 9007199254740993n });
  expect(() => readValue({ format: "json", value: "1e400" })).toThrow(/larger than any number/);
});

test("a pointer of Git LFS is refused at every door, a text that begins like one at none", () => {
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 12\n`;
  const about = "version https://git-lfs.github.com/spec/v1 is the first line of a pointer\n";
  const doors = (value: string) => {
    const [file] = [{ path: "a/default/k.txt", bytes: Buffer.from(value) }];
    const base64 = Buffer.from(value).toString("base64");
    return [problemsOf("text", value), problemsOf("binary", base64), readTree([file], { namespace: "n" }).problems];
  };
  expect(doors(about)).toEqual([[], [], []]);
  const told = { message: expect.stringContaining("Git LFS pointer") as string };
  expect(doors(pointer)).toMatchObject([[told], [told], [told]]);
});
