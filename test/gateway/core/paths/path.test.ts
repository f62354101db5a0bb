/** One path, one reading: whatever comes in, what goes on is canonical or refused. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalTarget } from "../../../../gateway/core/paths/path.ts";
import { parseAuthority, readHead } from "../../../../gateway/core/request/head.ts";

const path = (target: string) => {
  const result = canonicalTarget(target);
  return result.ok ? result.path + result.query : undefined;
};

test.for([
  ["/", "/"],
  ["//", "/"],
  ["/a/", "/a/"],
  ["/a/.", "/a/"],
  ["/./a", "/a"],
  ["/a//b", "/a/b"],
  ["/%7euser", "/~user"],
  ["/%C3%a9", "/%C3%A9"],
  ["/a%20b", "/a%20b"],
  ["/100%25", "/100%25"],
  ["/100%25 off", "/100%25%20off"],
  ["/%2520", "/%2520"],
  ["/a;v=1/b", "/a;v=1/b"],
  ["/...", "/..."],
  ["/.hidden", "/.hidden"],
  ["/a?b=%2f..&c", "/a?b=%2f..&c"],
  ["/a?", "/a?"],
])("%s is %s", ([from, to]) => {
  expect(path(from as string)).toBe(to);
});

test.for([
  "",
  "a",
  "*",
  "/..",
  "/a/..",
  "/a/%2e./b",
  "/a%2Fb",
  "/a%5Cb",
  "/a\\b",
  "/a%00",
  "/%",
  "/%f",
  "/%2561",
  "/%252e",
  "/%25252e",
  "/..;a/b",
  "/a#b",
  "/a?b c",
  "/\u0100",
])("%s is refused", (target) => {
  expect(path(target)).toBeUndefined();
});

/** Paths made of the pieces that trouble is made of. */
const troubled = fc
  .array(
    fc.constantFrom(
      "/",
      ".",
      "..",
      "%2e",
      "%2E",
      "%2f",
      "%5c",
      "%25",
      "2e",
      "%61",
      "a",
      "B",
      ";",
      "\\",
      "%00",
      "//",
      "é",
      "|",
      "%c3%a9",
    ),
    { maxLength: 12 },
  )
  .map((parts) => `/${parts.join("")}`);

test("a canonical path is its own canonical path, and never climbs, however often it is decoded", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        troubled,
        fc.string({ unit: "binary-ascii" }).map((text) => `/${text}`),
      ),
      (target) => {
        const result = canonicalTarget(target);
        if (!result.ok) return;
        expect(canonicalTarget(result.path)).toEqual({ ok: true, path: result.path, query: "" });
        expect(result.path).toMatch(/^\/(?!\/)/);
        let decoded = result.path;
        for (let i = 0; i < 3; i++) {
          const segments = decoded.split("/");
          expect(segments).not.toContain("..");
          expect(segments.slice(1, -1)).not.toContain("");
          expect(segments).not.toContain(".");
          expect(segments).toHaveLength(result.path.split("/").length);
          // Bytes, not characters: what a server decodes need not be UTF-8.
          decoded = decoded.replaceAll(/%([0-9A-Fa-f]{2})/g, (_all, hex: string) =>
            String.fromCharCode(Number.parseInt(hex, 16)),
          );
        }
      },
    ),
    { numRuns: 5_000 },
  );
});

test("decoding twice reads the same letters as decoding once", () => {
  const decode = (text: string) =>
    text.replaceAll(/%([0-9A-Fa-f]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  const letters = (text: string) => text.replaceAll(/%[0-9A-Fa-f]{2}|[^A-Za-z/.]/g, "");
  fc.assert(
    fc.property(troubled, (target) => {
      const result = canonicalTarget(target);
      if (result.ok) expect(letters(decode(decode(result.path)))).toBe(letters(decode(result.path)));
    }),
    { numRuns: 5_000 },
  );
});

test.for([
  ["Shop.Example", "shop.example", "shop.example"],
  ["a.example:8080", "a.example", "a.example:8080"],
  ["[::1]:80", "[::1]", "[::1]:80"],
  ["a.example.", "a.example", "a.example."],
  ["127.0.0.1", "127.0.0.1", "127.0.0.1"],
])("the authority %s has the host %s", ([text, host, authority]) => {
  expect(parseAuthority(text as string)).toEqual({ host, authority });
});

test.for(["", "a b", "a@b", "a/b", "a:b", "a:123456", "::1", "[::1", "a..b", "-a", "a,b", "[a]x", "a?b"])(
  "%s is not a valid authority",
  (text) => {
    expect(parseAuthority(text)).toBeUndefined();
  },
);

test("a header is looked up by all its values, whatever its case", () => {
  const head = readHead({
    method: "GET",
    target: "/",
    version: "1.1",
    scheme: "http",
    peer: "1.2.3.4",
    rawHeaders: ["Host", "a", "X-Role", "user", "x-ROLE", "admin"],
  });
  expect("header" in head && head.header("x-role")).toEqual(["user", "admin"]);
});
