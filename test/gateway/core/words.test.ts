/** Small languages of a config, one rule at a time: regexes, texts with variables, rewrites, cookies, splits, hashes. */
import { expect, test } from "vitest";
import type { PathMatch, RouteConfig } from "../../../gateway/api.ts";
import { cookieValue } from "../../../gateway/core/routing/conditions.ts";
import { isBadHead, parseAuthority, readHead, type RequestHead } from "../../../gateway/core/request/head.ts";
import { textHash32 } from "#base";
import { maglevTable } from "../../../gateway/core/balancing/policies/maglev.ts";
import { pathOf } from "../../../gateway/core/paths/path-pattern.ts";
import {
  compileRegex,
  literalHead,
  parseReplacement,
  regexOf,
  replaceRegex,
  REGEX_PROGRAM_MAX,
} from "../../../gateway/core/paths/regex.ts";
import {
  compileRedirect,
  compileRewrite,
  parsePathTemplate,
  redirectLocation,
  upstreamPath,
} from "../../../gateway/core/rewriting/rewrite.ts";
import { chooseBackend } from "../../../gateway/core/routing/traffic-split.ts";
import { compileTable } from "../../../gateway/core/routing/table.ts";
import { parseText, renderText, compileText } from "../../../gateway/core/rewriting/template.ts";

function headOf(target = "/", headers: readonly (readonly [string, string])[] = [], over = {}): RequestHead {
  const rawHeaders = ["Host", "Shop.example:8443", ...headers.flat()];
  const head = readHead({
    method: "GET",
    target,
    version: "1.1",
    scheme: "https",
    peer: "10.0.0.1",
    rawHeaders,
    ...over,
  });
  if (isBadHead(head)) throw new Error(head.detail);
  return head;
}

test.each([
  ["/api/v1/.*", "/api/v1/"],
  ["^/api/x", "/api/x"],
  // A quantifier is about the last character.
  ["/ab*", "/a"],
  ["/ab?c", "/a"],
  ["/ab{2}", "/a"],
  ["/ab+", "/a"],
  ["/a\\.b/.*", "/a.b/"],
  ["/a\\d", "/a"],
  ["/a[bc]", "/a"],
  // Alternatives, of which each could match alone.
  ["/a|/b", ""],
  ["/a(b|c)d", "/a"],
  ["/a(b|(c|d))|/e", ""],
  ["/a[|]b", "/a"],
  ["/a[]|]b", "/a"],
  ["/a[^]|]b", "/a"],
  ["/a[\\]|]b", "/a"],
  ["/a[\\|]b|/c", ""],
  ["/a\\|b", "/a"],
  ["/a\\(|/b", ""],
  ["/a(b)|/c", ""],
  // A pattern that the reader does not understand counts as if it could match anything.
  ["(?i)/a", ""],
  ["/a\\Q|\\E", ""],
  ["/a[[:alpha:]|]", ""],
  ["", ""],
])("every match of %s begins with %j", (pattern, head) => {
  expect(literalHead(pattern)).toBe(head);
});

test("a pattern compiles up to the limit of instructions, and not beyond", () => {
  const sizeOf = (times: number) => {
    const { regex } = compileRegex(`a{${times}}`);
    return regex?.programSize();
  };
  const largest = Array.from({ length: 20 }, (_, i) => 990 + i).findLast((times) => sizeOf(times) !== undefined);
  expect(sizeOf(largest as number)).toBe(REGEX_PROGRAM_MAX);
  expect(compileRegex(`a{${(largest as number) + 1}}`).problem).toContain(`${REGEX_PROGRAM_MAX + 1} instructions`);
  expect(compileRegex("(").problem).toContain("not valid RE2");
  expect(() => regexOf("(")).toThrow("not valid RE2");
});

test("a replacement's groups are filled in at every place, and what is between stays", () => {
  const replaced = (pattern: string, text: string, replacement: string) =>
    replaceRegex(regexOf(pattern), text, parseReplacement(replacement));
  expect(parseReplacement("/a\\1b\\0\\10")).toEqual(["/a", 1, "b\\0", 1, "0"]);
  expect(replaced("/(\\w)(x)?", "-/a-/bx-", "<\\1\\2>")).toBe("-<a>-<bx>-");
  expect(replaced("q", "/abc", "z")).toBe("/abc");
});

test("a text's variable is at most 2048 characters, printable, and never read again", () => {
  const long = "x".repeat(3_000);
  const context = {
    head: headOf("/p?q=a%20b&q=c&e=", [
      ["X-Long", long],
      ["X-Odd", "a\u00e9b"],
      ["X-Two", "{route.name}"],
      ["X-Two", "2"],
    ]),
    route: "r",
    consumer: undefined,
    claims: { sub: "ann", roles: ["a", "b"] },
    variables: { id: "7" },
  };
  const rendered = (text: string) => renderText(compileText(text, ["id"]), context);
  expect(rendered("{request.header.X-Long}")).toBe("x".repeat(2_048));
  expect(rendered("{request.header.x-odd}")).toBe("a%C3%A9b");
  expect(rendered("{request.header.x-two}")).toBe("{route.name}, 2");
  expect(rendered("{{{route.name}}} {request.query.q}|{request.query.e}|{request.query.none}")).toBe("{r} a b||");
  expect(rendered("{consumer.name}|{claim.sub}|{claim.roles}|{claim.none}|{path.id}")).toBe("|ann|a,b||7");
  expect(rendered("{client.address} {request.method} {request.host} {request.authority}")).toBe(
    "10.0.0.1 GET shop.example shop.example:8443",
  );
  expect(rendered("{request.scheme} {request.path} {request.query}\t{request.listener}")).toMatch(
    /^https \/p \?q=\S+\t/,
  );
});

test.each([
  ["a\nb", "printable ASCII"],
  ["a\u007fb", "printable ASCII"],
  ["é", "printable ASCII"],
  ["{route.name", "Unmatched {"],
  ["a}b", "Unmatched }"],
  ["{nothing}", "Unknown variable {nothing}"],
  ["{constructor}", "Unknown variable {constructor}"],
  ["{path.x}", 'no variable "x"; it has id'],
  ["{request.header.Authorization}", "secret"],
  ["{request.header.X-Forwarded-For}", "secret"],
])("the text %j is refused", (text, problem) => {
  expect(parseText(text, ["id"])).toEqual({ problem: expect.stringContaining(problem) });
  expect(() => compileText(text, ["id"])).toThrow(problem);
});

test("a text may contain a tab, a tilde, a space, and doubled braces", () => {
  expect(parseText(" \t~")).toEqual([" \t~"]);
  expect(parseText("{{a}}")).toEqual(["{a}"]);
  expect(parseText("{path.x}")).toEqual({ problem: 'match.path has no variable "x".' });
});

test("a path template is texts and variables of the match, and braces come in pairs", () => {
  expect(parsePathTemplate("/v2/{id}/x", ["id"])).toEqual(["/v2/", { variable: "id" }, "/x"]);
  expect(parsePathTemplate("{id}", ["id"])).toEqual([{ variable: "id" }]);
  expect(parsePathTemplate("/{other}", ["id"])).toEqual({ problem: 'match.path has no variable "other"; it has id.' });
  expect(parsePathTemplate("/{other}", [])).toEqual({ problem: 'match.path has no variable "other".' });
  for (const text of ["/{id", "/id}", "/{{id}}"])
    expect(parsePathTemplate(text, ["id"])).toEqual({ problem: "The template has an unmatched brace." });
});

test("a rewritten path is a canonical path without a query, or none", () => {
  const to = (rewrite: RouteConfig["rewrite"], match: PathMatch, path: string) => {
    const pattern = pathOf({ path: match });
    const names = match.template === undefined ? [] : ["id"];
    return upstreamPath({ path: pattern, rewrite: compileRewrite(rewrite, names) }, path);
  };
  expect(to(undefined, { prefix: "/a" }, "/a/x")).toBe("/a/x");
  expect(to({ prefix: "/b" }, { prefix: "/a" }, "/a")).toBe("/b");
  expect(to({ prefix: "/b/" }, { prefix: "/a" }, "/a/x")).toBe("/b/x");
  expect(to({ prefix: "/" }, { prefix: "/a" }, "/a")).toBe("/");
  expect(to({ prefix: "/b" }, { prefix: "/" }, "/x")).toBe("/b/x");
  expect(to({ template: "/u/{id}" }, { template: "/a/{id}" }, "/a/7")).toBe("/u/7");
  const regex = (pattern: string, replacement: string, path: string) =>
    to({ regex: { pattern, replacement } }, { prefix: "/" }, path);
  expect(regex("^/a/", "/b/", "/a/x")).toBe("/b/x");
  expect(regex("^/a/", "/../", "/a/x")).toBeUndefined();
  expect(regex("^/a/", "/b?c=", "/a/x")).toBeUndefined();
  expect(regex("^/a/", "/b/", "/a/x%2Fy")).toBe("/b/x%2Fy");
  expect(regex("^/a/", "/b?c=", "/a/x%2Fy")).toBeUndefined();
  expect(regex("^/a/", "/../", "/a/x%2Fy")).toBeUndefined();
});

test("a redirect keeps what it does not name; another scheme has its own port", () => {
  const to = (redirect: NonNullable<RouteConfig["redirect"]>, over = {}) => {
    const compiled = compileRedirect(redirect, []);
    return compiled && redirectLocation(compiled, pathOf({ path: { prefix: "/a" } }), headOf("/a/x?q=1", [], over));
  };
  expect(to({ host: "b.example" })).toBe("https://b.example:8443/a/x?q=1");
  expect(to({ scheme: "http" })).toBe("http://shop.example/a/x?q=1");
  expect(to({ port: 443 })).toBe("https://shop.example/a/x?q=1");
  expect(to({ scheme: "http", port: 8_080 })).toBe("http://shop.example:8080/a/x?q=1");
  expect(to({ prefix: "/b" })).toBe("https://shop.example:8443/b/x?q=1");
  expect(to({ path: "/c" })).toBe("https://shop.example:8443/c?q=1");
  expect(to({ path: "/c?d" })).toBeUndefined();
  expect(to({ path: "/../c" })).toBeUndefined();
  const six = { rawHeaders: ["Host", "[2001:db8::1]"] };
  expect(to({ path: "/c" }, six)).toBe("https://[2001:db8::1]/c?q=1");
  expect(compileRedirect({ path: "/c" }, [])?.status).toBe(302);
  expect(compileRedirect({ path: "/c", status: 308 }, [])?.status).toBe(308);
  expect(compileRedirect(undefined, [])).toBeUndefined();
});

test.each([
  ["a=1; b=2", "b", "2"],
  ["a=1;b=2", "b", "2"],
  ['a="1 2"', "a", "1 2"],
  ['a="', "a", '"'],
  ['a="1', "a", '"1'],
  ['a=1"', "a", '1"'],
  ['a=""', "a", ""],
  ["a=b=c", "a", "b=c"],
  ["a=1; a=2", "a", "1"],
  ["a = 1", "a", "1"],
  ["=1", "", undefined],
  ["b", "b", undefined],
  ["ab=1", "b", undefined],
])("of the cookies %s the one called %s is %j", (header, name, value) => {
  expect(cookieValue([header], name)).toBe(value);
  expect(cookieValue(["z=9", header], name)).toBe(value);
});

test.each([
  ["Shop.Example", "shop.example", "shop.example"],
  ["shop.example.:80", "shop.example", "shop.example.:80"],
  ["[2001:DB8::1]:65535", "[2001:db8::1]", "[2001:db8::1]:65535"],
  ["a_b.example", "a_b.example", "a_b.example"],
])("the authority %s is the host %s", (text, host, authority) => {
  expect(parseAuthority(text)).toEqual({ host, authority });
});

test.each([
  "",
  ":80",
  "a:65536",
  "a:",
  "a b",
  "a/b",
  "u@a",
  "-a",
  "a-",
  "a..b",
  "[::1",
  "[x]",
  "a:1:2",
  "a".repeat(64),
])("%j is not a valid authority", (text) => expect(parseAuthority(text)).toBeUndefined());

test("an authority is at most 261 characters: a name of 255 and a port", () => {
  const name = (length: number) =>
    Array.from({ length: 5 }, () => "a".repeat(50))
      .join(".")
      .padEnd(length, "b");
  expect(parseAuthority(`${name(255)}:65535`)?.host).toHaveLength(255);
  expect(parseAuthority(`${name(256)}:65535`)).toBeUndefined();
});

test("gateways of every version hash alike, or a caller would meet another endpoint through each", () => {
  // Worked out once: what gateways in service agree upon must not change.
  expect(["", "a", "caller-1", "2001:db8::1"].map((text) => textHash32(text))).toEqual([
    2_872_998_923, 444_641_715, 1_307_360_033, 3_849_813_818,
  ]);
  expect([1, 2, 3].map((seed) => textHash32("a", seed))).toEqual([1_951_636_747, 738_454_016, 2_091_954_715]);
  const table = maglevTable(["one", "two", "three"].map((key, at) => ({ key, weight: [100, 50, 100][at] as number })));
  expect(table).toHaveLength(2_039);
  expect(Array.from(table.subarray(0, 16))).toEqual([0, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 1]);
  expect(table.reduce((hash, index) => Math.imul(hash, 31) + index, 0)).toBe(-1_059_195_790);
  const sizes = [20, 21, 163, 164].map(
    (count) => maglevTable(Array.from({ length: count }, (_, at) => ({ key: `k${at}`, weight: 1 }))).length,
  );
  expect(sizes).toEqual([2_039, 16_381, 16_381, 65_537]);
  expect(maglevTable([])).toHaveLength(0);
});

test("each value of a split's header goes to one part, the same through every gateway, and all of them by weight", () => {
  const route = compileTable(
    {
      routes: [
        {
          name: "r",
          match: { path: { prefix: "/" } },
          split: [
            { service: "old", weight: 3 },
            { service: "new", weight: 1 },
          ],
          splitBy: { header: "X-User" },
        },
      ],
    },
    { namespace: "default" },
  ).routes[0];
  if (!route) throw new Error("no route");
  const chosen = (user: string | undefined, random = () => 0) =>
    chooseBackend(
      route,
      { head: headOf("/", user === undefined ? [] : [["X-User", user]]), consumer: undefined },
      random,
    )?.route.cluster.service;
  expect(Array.from({ length: 12 }, (_, at) => (chosen(`user-${at}`) === "new" ? 1 : 0))).toEqual([
    0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0,
  ]);
  const share =
    Array.from({ length: 2_000 }, (_, at) => chosen(`u${at}`)).filter((one) => one === "new").length / 2_000;
  expect(Math.abs(share - 0.25)).toBeLessThan(0.03);
  // Without a value it is drawn.
  expect([0, 0.749, 0.75, 0.999].map((at) => chosen(undefined, () => at))).toEqual(["old", "old", "new", "new"]);
});
