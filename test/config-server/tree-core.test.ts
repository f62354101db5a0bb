/** Files become sets: which path is which key of which set, and what is refused file by file. */
import { expect, test } from "vitest";
import { NESTING_MAX } from "#base/formats";
import {
  KEYS_PER_RELEASE_MAX,
  MANIFEST_FORMAT,
  MANIFEST_NAME,
  MASK,
  VALUE_BYTES_MAX,
  type Item,
} from "#config-server/api";
import { bytesOf, checkSyntax, isLfsPointer } from "../../config-server/core/format.ts";
import { isBeside, readTree, type Mapping } from "../../config-server/core/tree.ts";

const file = (path: string, content: string | Uint8Array = "x") => ({
  path,
  bytes: typeof content === "string" ? Buffer.from(content) : content,
});
const EXPORTED = { version: 1, hash: "h", author: "ann", reason: "", createdAt: "", keys: {} };
const manifest = (...sets: object[]) =>
  file(MANIFEST_NAME, JSON.stringify({ format: MANIFEST_FORMAT, sets: sets.map((set) => ({ ...EXPORTED, ...set })) }));

/** Sets as `NAMESPACE/APP/PROFILE: KEYS`, what is passed over, and what is wrong. */
function read(files: readonly ReturnType<typeof file>[], mapping: Mapping = {}) {
  const { sets, ignored, problems } = readTree(files, mapping);
  return {
    sets: sets.map(
      ({ name, items }) => `${name.namespace}/${name.app}/${name.profile}: ${Object.keys(items).join(" ")}`,
    ),
    ignored,
    problems: problems.map(({ file, message }) => `${file}: ${message}`),
  };
}
const paths = (...all: string[]) => all.map((path) => file(path));

test("a path says namespace, app, profile and key; the base profile comes first", () => {
  expect(read(paths("b/app/prod/k2", "b/app/prod/k1", "b/app/default/k", "a/z/dev/k", "b/aaa/x/k"))).toEqual({
    sets: ["a/z/dev: k", "b/aaa/x: k", "b/app/default: k", "b/app/prod: k1 k2"],
    ignored: [],
    problems: [],
  });
  const { sets } = readTree([file("b/app/prod/k.json", "{}")], {});
  expect(sets).toEqual([
    {
      name: { namespace: "b", app: "app", profile: "prod" },
      items: { "k.json": { format: "json", value: "{}" } },
      files: { "k.json": "b/app/prod/k.json" },
      reason: undefined,
    },
  ]);
});

test("a namespace that is given is that of all sets, and replaces one in the path", () => {
  expect(read(paths("app/prod/k", "app/dev/k"), { namespace: "n" }).sets).toEqual(["n/app/dev: k", "n/app/prod: k"]);
  expect(read(paths("old/app/prod/k"), { namespace: "n" })).toMatchObject({ sets: ["n/app/prod: k"], problems: [] });
  expect(read(paths("old/app/prod/k", "older/app/dev/k"), { namespace: "n" }).problems).toEqual([
    expect.stringMatching(/^: the sets belong to several namespaces \(old, older\)/),
  ]);
  expect(read(paths("old/app/prod/k", "older/app/dev/k")).problems).toEqual([]);
  expect(read(paths("app/prod/k")).problems).toEqual([expect.stringMatching(/^app\/prod\/k: is APP\/PROFILE\/KEY/)]);
});

test("files beside the folders of sets are passed over; those too deep are refused", () => {
  expect(read(paths("README.md", "n/README.md", "n/app/prod/k", ".git/n/app/k", "__MACOSX/n/app/prod/k"))).toEqual({
    sets: ["n/app/prod: k"],
    ignored: ["README.md", "n/README.md"],
    problems: [],
  });
  expect(read(paths("n/app/prod/folder/k")).problems).toEqual([
    expect.stringMatching(/has too many folders; a file is NAMESPACE\/APP\/PROFILE\/KEY/),
  ]);
  const two = { namespace: "n", depth: 2 } as const;
  expect(read(paths("x/app/prod/k", "app/prod/k", "app/k"), two)).toEqual({
    sets: ["n/app/prod: k"],
    ignored: ["app/k"],
    problems: [expect.stringMatching(/^x\/app\/prod\/k: has too many folders; a file is APP\/PROFILE\/KEY/)],
  });
  expect(read(paths("app/prod/k", "n/app/prod/k"), { depth: 3 })).toMatchObject({
    sets: ["n/app/prod: k"],
    ignored: ["app/prod/k"],
  });
  expect(read(paths("k"), { namespace: "n", app: "a", profile: "p", depth: 3 }).ignored).toEqual(["k"]);
  expect([isBeside("a/.x/b"), isBeside("__MACOSX/a"), isBeside("a/__MACOSX/b"), isBeside("a.b")]).toEqual([
    true,
    true,
    false,
    false,
  ]);
});

test("files without folders are keys of the set that is named, by the caller or by a manifest of one set", () => {
  const set = { namespace: "n", app: "a", profile: "p" };
  expect(read(paths("k", "l"), set)).toEqual({ sets: ["n/a/p: k l"], ignored: [], problems: [] });
  for (const missing of ["namespace", "app", "profile"]) {
    expect(read(paths("k"), { ...set, [missing]: undefined })).toEqual({ sets: [], ignored: ["k"], problems: [] });
  }
  expect(read([...paths("k"), manifest(set)]).sets).toEqual(["n/a/p: k"]);
  expect(read([...paths("k"), manifest(set)], { namespace: "m", app: "b" }).sets).toEqual(["m/b/p: k"]);
  expect(read([...paths("k"), manifest(set, { ...set, app: "b" })]).ignored).toEqual(["k"]);
  expect(read(paths("k", "n/app/prod/k"), { app: "a", profile: "p" })).toEqual({
    sets: ["n/app/prod: k"],
    ignored: ["k"],
    problems: [": app and profile apply to files without folders, but there are folders"],
  });
  expect(read(paths("n/app/prod/k"), { profile: "p" }).problems).toHaveLength(1);
});

test("names and keys are checked where they occur", () => {
  const problems = (path: string) => read(paths(path)).problems;
  expect(problems("N/app/prod/k")).toEqual([expect.stringMatching(/^N\/app\/prod\/k: "N" is not a valid namespace/)]);
  expect(problems("n/App/prod/k")).toEqual([expect.stringMatching(/"App" is not a valid app/)]);
  expect(problems("n/app/PROD/k")).toEqual([expect.stringMatching(/"PROD" is not a valid profile.*PROFILE@LABEL/)]);
  expect(problems("n/app/prod/k y")).toEqual([expect.stringMatching(/"k y" is not a valid key/)]);
  expect([problems("n/app/prod@blue/k"), problems("n/app@blue/prod/k").length]).toEqual([[], 1]);
});

test("a manifest says of keys what their names do not, and why a set is as it is", () => {
  const set = { namespace: "n", app: "app", profile: "prod" };
  const said = manifest({ ...set, keys: { k: "json" }, expand: ["k"], secret: ["s"], reason: "because" });
  const { sets } = readTree(
    [said, file("n/app/prod/k", "1"), file("n/app/prod/s", "2"), file("o/app/prod/k", "1")],
    {},
  );
  expect(sets.map(({ items, reason }) => [items, reason])).toEqual([
    [{ k: { format: "json", value: "1", expand: true }, s: { format: "text", value: "2", secret: true } }, "because"],
    [{ k: { format: "text", value: "1" } }, undefined],
  ]);
  // Without a namespace in the path, that of the manifest need not agree.
  const short = readTree([said, file("app/prod/k", "1")], { namespace: "m" }).sets;
  expect(short[0]?.items["k"]).toMatchObject({ format: "json", expand: true });
  const wrong = (content: string | Uint8Array) => read([file(MANIFEST_NAME, content), ...paths("n/app/prod/k")]);
  expect(wrong("{").problems).toEqual([expect.stringMatching(/^_manifest\.json: is not valid JSON/)]);
  expect(wrong(Buffer.from([0xff])).problems).toEqual([expect.stringMatching(/is not valid JSON/)]);
  expect(wrong("{}").problems).toEqual([expect.stringMatching(/is not the manifest of an export/)]);
  const unsound = { ...EXPORTED, ...set, reason: "mark" };
  const surrogate = JSON.stringify({ format: MANIFEST_FORMAT, sets: [unsound] }).replace("mark", "\\ud800");
  expect(wrong(surrogate).problems).toEqual([expect.stringMatching(/a text that is not Unicode/)]);
  expect(wrong("{}").sets).toEqual(["n/app/prod: k"]);
});

test("bytes become a text, or else a binary value unless the key declares text", () => {
  const notText = Buffer.from([0xff, 0xfe]);
  const item = (key: string, bytes: Uint8Array, keys?: Record<string, string>) => {
    const set = { namespace: "n", app: "app", profile: "prod", ...(keys ? { keys } : {}) };
    const { sets, problems } = readTree([manifest(set), file(`n/app/prod/${key}`, bytes)], {});
    return problems[0]?.message ?? sets[0]?.items[key];
  };
  expect(item("k", notText)).toEqual({ format: "binary", value: "//4=" });
  expect([item("k.json", notText), item("k", notText, { k: "text" })]).toEqual([
    "is not UTF-8, which json requires",
    "is not UTF-8, which text requires",
  ]);
  expect(item("k", Buffer.from("\uFEFFa"))).toEqual({ format: "text", value: "\uFEFFa" });
  expect(item("k", Buffer.from("ab"), { k: "binary" })).toEqual({ format: "binary", value: "YWI=" });
  // The mask that an export shows in place of a secret stays unchanged.
  expect(item("k", Buffer.from(MASK), { k: "binary" })).toEqual({ format: "binary", value: MASK });
  expect(item("k", Buffer.alloc(VALUE_BYTES_MAX, "a"))).toMatchObject({ format: "text" });
  expect(item("k", Buffer.alloc(VALUE_BYTES_MAX + 1, "a"))).toMatch(/a value has at most/);
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 5\n`;
  expect(item("k", Buffer.from(pointer))).toMatch(/Git LFS/);
});

test("a set has so many keys", () => {
  const many = (count: number) => Array.from({ length: count }, (_, i) => file(`n/app/prod/k${i}`));
  expect(read(many(KEYS_PER_RELEASE_MAX)).problems).toEqual([]);
  expect(read(many(KEYS_PER_RELEASE_MAX + 1)).problems).toEqual([expect.stringMatching(/would have 10001 keys/)]);
});

test("one key from two namespaces that become one is there twice", () => {
  const { problems } = read(paths("a/app/prod/k", "b/app/prod/k"), { namespace: "n" });
  expect(problems).toContainEqual('b/app/prod/k: "n/app/prod" has the key "k" twice');
});

const found = (format: Item["format"], value: string, over: object = {}) =>
  checkSyntax({ k: { format, value, ...over } }).map(({ message, line, column }) => [message, line, column]);

test("syntax is checked by the format, and reported with line and column, for a secret without its text", () => {
  expect([
    found("json", '{"a": 1}'),
    found("yaml", "a: 1"),
    found("toml", "a = 1"),
    found("properties", "a=1"),
  ]).toEqual([[], [], [], []]);
  expect(found("json", '{"a":\n 1,}')).toMatchObject([[expect.any(String), 2, expect.any(Number)]]);
  expect(found("json", '{\n "a": 1, "a": 2}')).toEqual([
    ['the member "a" appears twice in one object; remove one', 2, 10],
  ]);
  expect(found("yaml", "a: 1\nb: [")).toMatchObject([[expect.any(String), 2, expect.any(Number)]]);
  expect(found("toml", "a = 1\nb = ")).toMatchObject([[expect.any(String), 2, expect.any(Number)]]);
  expect(found("text", "a\ud800")).toMatchObject([[expect.stringContaining("not Unicode"), undefined, undefined]]);
  expect([found("text", "a"), found("json", '"\\ud800"').length, found("json", '"\\ud83d\\ude00"')]).toEqual([
    [],
    1,
    [],
  ]);
  expect(found("json", "{", { secret: true })[0]?.[0]).toBe("the secret is not valid json");
  for (const good of ["", "AA==", "AAA=", "AAAA", "+/+/"]) expect(found("binary", good)).toEqual([]);
  for (const bad of ["A", "AA", "AB==", "AAB=", "AA=A", "A-==", "AAAA\n"]) expect(found("binary", bad)).toHaveLength(1);
});

test("lists nest as deep as may be and no deeper, whatever the format", () => {
  const deep = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;
  for (const format of ["json", "yaml"] as const) {
    // The innermost list has nothing in it.
    expect(found(format, deep(NESTING_MAX + 1))).toEqual([]);
    expect(found(format, deep(NESTING_MAX + 2))[0]?.[0]).toMatch(/nested more than/);
  }
  expect(found("yaml", "[".repeat(100_000))[0]?.[0]).toMatch(/nested more than/);
  expect(found("yaml", `a: "${"[]".repeat(20_000)}"`)).toEqual([]);
});

test("a value's bytes are those of its UTF-8, or those that its base64 stands for", () => {
  const bytes = (format: Item["format"], value: string) => bytesOf({ format, value });
  expect([
    bytes("text", "aé"),
    bytes("binary", ""),
    bytes("binary", "AA=="),
    bytes("binary", "AAA="),
    bytes("binary", "AAAA"),
  ]).toEqual([3, 0, 1, 2, 3]);
  expect([found("text", "x".repeat(VALUE_BYTES_MAX)), found("text", "x".repeat(VALUE_BYTES_MAX + 1))[0]?.[0]]).toEqual([
    [],
    `it is ${VALUE_BYTES_MAX + 1} bytes; at most ${VALUE_BYTES_MAX} are allowed`,
  ]);
  expect(found("json", "x".repeat(VALUE_BYTES_MAX + 1), { secret: true })[0]?.[0]).toMatch(/^it is/);
});

test("a pointer of Git LFS is known by its whole form, up to a size", () => {
  const pointer = (more = "") =>
    Buffer.from(`version https://git-lfs.github.com/spec/v1\n${more}oid sha256:${"0".repeat(64)}\nsize 5\n`);
  const filler = (bytes: number) => `ext-0-x ${"y".repeat(bytes - 9)}\n`;
  const around = pointer().length;
  expect([isLfsPointer(pointer()), isLfsPointer(pointer(filler(1024 - around)))]).toEqual([true, true]);
  expect([isLfsPointer(pointer(filler(1025 - around))), isLfsPointer(Buffer.from("version https://git-lfs"))]).toEqual([
    false,
    false,
  ]);
  expect(found("text", pointer().toString())[0]?.[0]).toMatch(/Git LFS/);
  expect(found("binary", pointer(filler(1024 - around)).toString("base64"))[0]?.[0]).toMatch(/Git LFS/);
});
