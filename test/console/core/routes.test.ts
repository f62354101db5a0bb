/** The pure parts of the pages of routes and locks: adding a route to a text, reading a route, the tester's form, trees of names. */
import { describe, expect, test } from "vitest";
import type { RouteConfig } from "#gateway/api";
import { parseGatewayConfig } from "#gateway/config-text";
import { groupsBelow, stepsOf } from "../../../console/pages/locks/tree.ts";
import { withRoute, type NewRoute } from "../../../console/pages/routes/core/add-route.ts";
import { chineseReason } from "../../../console/pages/routes/core/reasons.ts";
import {
  conditionsOf,
  linesOf,
  marksOf,
  ownAnswer,
  pathOfRoute,
  pathText,
} from "../../../console/pages/routes/core/summary.ts";
import {
  explainRequestOf,
  headersOf,
  testWords,
  wholeUrl,
  withoutSecrets,
} from "../../../console/pages/routes/core/test-request.ts";

const ROUTE: NewRoute = { name: "orders", prefix: "/orders", service: "orders", provider: undefined };
const routesOf = (text: string | undefined) => {
  const parsed = parseGatewayConfig(text ?? "");
  expect(parsed.problems, text).toEqual([]);
  return (parsed.config?.routes ?? []).map(({ name }) => name);
};

describe("adding a route to a text", () => {
  test("comments and the other lines stay, and the indentation is that of the list", () => {
    const before = `# Ours.\nroutes: # in order of age\n    - { name: a, match: {}, service: a }\n    # the last\n\n# Hints.\nhints:\n  - { service: b }\n`;
    const after = withRoute(before, ROUTE) ?? "";
    expect(routesOf(after)).toEqual(["a", "orders"]);
    expect(after.split("\n").filter((line) => !before.includes(line))).toHaveLength(3);
    expect(after.replace(/ {4}- name: orders\n.*\n.*\n/, "")).toBe(before);
    expect(after.indexOf("the last")).toBeLessThan(after.indexOf("name: orders"));
    expect(after.indexOf("# Hints")).toBeGreaterThan(after.indexOf("name: orders"));
  });

  test("works on texts without routes, with none, without indentation, and in JSON", () => {
    for (const [text, names] of [
      ["", ["orders"]],
      ["# Nothing yet.\n", ["orders"]],
      ["routes: []\nhints: []\n", ["orders"]],
      ["trustedProxies: [10.0.0.1]", ["orders"]],
      ["routes:\n- { name: a, match: {}, service: a }\nhints: []\n", ["a", "orders"]],
      [
        "routes:\n  - name: a\n    match: {}\n    respond:\n      status: 200\n      body: |\n        x\n\n        y",
        ["a", "orders"],
      ],
      [JSON.stringify({ routes: [{ name: "a", match: {}, service: "a" }] }), ["a", "orders"]],
    ] as const) {
      expect(routesOf(withRoute(text, ROUTE))).toEqual(names);
    }
    expect(withRoute("routes: [{ name: a, match: {}, service: a }]\n", ROUTE)).toBeUndefined();
    expect(withRoute("{ routes: [] }", ROUTE)).toBeUndefined();
  });

  test("names that YAML would read as something else are quoted, and a token is required by name", () => {
    const text = withRoute("jwt: []\n", { name: "1.5", prefix: "/a#b: c", service: "yes", provider: "idp" }) ?? "";
    expect(text).toContain('name: "1.5"');
    expect(text).toContain('prefix: "/a#b: c"');
    expect(text).toContain('service: "yes"');
    expect(text).toContain("jwt: { provider: idp }");
  });
});

describe("reading a route", () => {
  const route = (more: Partial<RouteConfig>): RouteConfig => ({ name: "r", match: {}, ...more });

  test("its path, conditions, marks and own answers", () => {
    const match = { path: { prefix: "/a" }, headers: [{ name: "x", exact: "1" }], sourceCidrs: ["10.0.0.0/8"] };
    expect(pathText(pathOfRoute(route({ match })))).toBe("/a/*");
    expect(pathText(pathOfRoute(route({})))).toBe("/*");
    expect(pathText(pathOfRoute(route({ match: { path: { exact: "/a" } } })))).toBe("/a");
    expect(pathText(pathOfRoute(route({ match: { path: { regex: "/a.*" } } })))).toBe("~ /a.*");
    expect(pathOfRoute(route({ match: { grpc: { service: "a.B" } } }))).toEqual({ kind: "grpc", value: "/a.B/*" });
    expect(conditionsOf(route({ match }))).toEqual([
      ["header", "x = 1"],
      ["source", "10.0.0.0/8"],
    ]);
    expect(marksOf(route({ jwt: { provider: "p" }, filters: [{ name: "key-auth" }], cache: {} }))).toEqual([
      "jwt",
      "cache",
      "key-auth",
    ]);
    expect(ownAnswer(route({ redirect: { prefix: "/b", status: 308 } }))).toBe("308 → /b");
    expect(ownAnswer(route({ respond: { status: 418 } }))).toBe("418");
    expect(ownAnswer(route({ service: "a" }))).toBeUndefined();
  });

  test("its lines, without their common indentation", () => {
    expect(linesOf("routes:\n  - name: a\n    match: {}\n\n  - name: b", { line: 2, lastLine: 3 })).toBe(
      "- name: a\n  match: {}",
    );
    expect(linesOf("routes: []", {})).toBeUndefined();
  });
});

describe("the tester's form", () => {
  const form = {
    method: "POST",
    url: "shop.example.com/a",
    headers: "x-a: 1\nAuthorization: Bearer abc\nnothing\nx-session-id: s3",
    peer: "10.0.0.9",
    listener: "default",
    zone: "",
  };

  test("becomes a request with its credentials, and a link and a command without them", () => {
    expect(wholeUrl("/a")).toBe("http://localhost/a");
    expect(headersOf(form.headers).map(({ name }) => name)).toEqual(["x-a", "Authorization", "x-session-id"]);
    expect(withoutSecrets(form.headers)).toBe("x-a: 1\nnothing");
    const request = explainRequestOf(form, { bearer: "tok", apiKey: "" });
    expect(request).toMatchObject({ method: "POST", url: "http://shop.example.com/a", peer: "10.0.0.9" });
    expect(request.headers).toContainEqual({ name: "Authorization", value: "Bearer tok" });
    expect(request).not.toHaveProperty("listener");
    const words = testWords(form, { bearer: "tok", apiKey: "key" }).join(" ");
    expect(words).toContain("--bearer TOKEN");
    for (const secret of ["tok", "key", "abc", "s3"]) expect(words.split(/[ :]+/)).not.toContain(secret);
  });
});

test("reasons are translated, and an unknown one stays as it is", () => {
  expect(chineseReason('"api" comes before it by path')).toBe("“api”在路径上优先");
  expect(chineseReason("path is not prefix /a")).toBe("路径不匹配 prefix /a");
  expect(chineseReason("something new")).toBe("something new");
});

test("names with slashes are a tree", () => {
  const names = ["a/b/1", "a/b/2", "a/c", "d", "ab/c"];
  expect(groupsBelow(names, "")).toEqual([
    { prefix: "a/", name: "a", count: 3 },
    { prefix: "ab/", name: "ab", count: 1 },
  ]);
  expect(groupsBelow(names, "a/")).toEqual([{ prefix: "a/b/", name: "b", count: 2 }]);
  expect(stepsOf("a/b/").map(({ prefix }) => prefix)).toEqual(["a/", "a/b/"]);
});
