/** The route that a request finds, by what is written out of its host and path. */
import { expect, test } from "vitest";
import type { RouteConfig } from "../../../../gateway/api.ts";
import { isBadHead, readHead } from "../../../../gateway/core/request/head.ts";
import { compileTable, matchRoute } from "../../../../gateway/core/routing/table.ts";

/** Routes that are called by what they match. */
function finding(matches: readonly RouteConfig["match"][]) {
  const nameOf = ({ path, hosts, methods }: RouteConfig["match"]) =>
    [hosts?.join(), Object.values(path ?? {}).join(), methods?.join()].filter(Boolean).join(" ");
  const routes = matches.map((match): RouteConfig => ({ name: nameOf(match), match, service: "s" }));
  const table = compileTable({ routes }, { namespace: "default" });
  return (target: string, host = "a.example", method = "GET") => {
    const head = readHead({
      method,
      target,
      version: "1.1",
      scheme: "http",
      peer: "10.0.0.1",
      rawHeaders: ["Host", host],
    });
    if (isBadHead(head)) throw new Error(head.detail);
    const found = matchRoute(table, head);
    return found.route?.name ?? ("allow" in found ? found.allow.join() || undefined : undefined);
  };
}

test("templates are walked segment by segment: texts before variables, and a rest takes one character at least", () => {
  const find = finding(
    ["/a/{id}", "/a/{id}/b", "/a/c/{x}", "/{one}/{two}/{three}", "/r/{rest=**}"].map((template) => ({
      path: { template },
    })),
  );
  const paths = [
    "/a/1",
    "/a/1/b",
    "/a/c/b",
    "/a/c/d",
    "/x/y/z",
    "/a",
    "/a/",
    "/a/1/",
    "/r/x/y",
    "/r/x/y/z",
    "/r/x",
    "/r/",
    "/r",
    "/x/y/z/w",
  ];
  expect(paths.map((path) => [path, find(path)])).toEqual([
    ["/a/1", "/a/{id}"],
    ["/a/1/b", "/a/{id}/b"],
    ["/a/c/b", "/a/{id}/b"],
    ["/a/c/d", "/a/c/{x}"],
    ["/x/y/z", "/{one}/{two}/{three}"],
    ["/a", undefined],
    ["/a/", undefined],
    ["/a/1/", undefined],
    ["/r/x/y", "/{one}/{two}/{three}"],
    ["/r/x/y/z", "/r/{rest=**}"],
    ["/r/x", "/r/{rest=**}"],
    ["/r/", undefined],
    ["/r", undefined],
    ["/x/y/z/w", undefined],
  ]);
});

test("exact before template before regex before the longest prefix, as deep as prefixes go", () => {
  const find = finding([
    { path: { exact: "/a/b" } },
    { path: { template: "/a/{x}" } },
    { path: { regex: "/a/.*/c" } },
    { path: { regex: "/a/bb.*" } },
    { path: { regex: "/a/bc.*" } },
    { path: { prefix: "/" } },
    { path: { prefix: "/a" } },
    { path: { prefix: "/a/b/c/d" } },
  ]);
  expect(
    ["/a/b", "/a/x", "/a/x/c", "/a/bb/x", "/a/bc/x", "/a/x/y", "/a/b/c/d", "/a/b/c/d/e", "/a/b/e", "/ab", "/"].map(
      (path) => find(path),
    ),
  ).toEqual(["/a/b", "/a/{x}", "/a/.*/c", "/a/bb.*", "/a/bc.*", "/a", "/a/b/c/d", "/a/b/c/d", "/a", "/", "/"]);
});

test("regexes that begin alike are distinguished by the first character that differs, in any order", () => {
  const patterns = ["/api/users/[0-9]+", "/api/user", "/api/orders/x", "/ap.", "/api/users/[a-z]+", "/b"];
  for (const order of [patterns, patterns.toReversed()]) {
    const find = finding(order.map((regex) => ({ path: { regex } })));
    expect(
      ["/api/users/7", "/api/user", "/api/orders/x", "/apx", "/api/users/x", "/b", "/a", "/c"].map((path) =>
        find(path),
      ),
    ).toEqual([
      "/api/users/[0-9]+",
      "/api/user",
      "/api/orders/x",
      "/ap.",
      "/api/users/[a-z]+",
      "/b",
      undefined,
      undefined,
    ]);
  }
});

test("an exact host comes before the longer wildcard, that before the shorter, and any host last", () => {
  const path = { prefix: "/" };
  const find = finding([
    { path, hosts: ["a.b.example"] },
    { path, hosts: ["*.b.example"] },
    { path, hosts: ["*.example"] },
    { path },
  ]);
  expect(
    ["a.b.example", "x.b.example", "x.y.b.example", "b.example", "example", "other"].map((host) => find("/x", host)),
  ).toEqual(["a.b.example /", "*.b.example /", "*.b.example /", "*.example /", "/", "/"]);
});

test("routes that match except for the method contribute to the allowed methods, and a later route may still match", () => {
  const find = finding([
    { path: { exact: "/a" }, methods: ["PUT"] },
    { path: { exact: "/a" }, methods: ["DELETE"] },
    { path: { prefix: "/b" }, methods: ["PUT"] },
    { path: { prefix: "/" }, methods: ["PATCH"] },
  ]);
  expect(find("/a", "a", "PATCH")).toBe("/ PATCH");
  expect(find("/a")?.split(",").toSorted()).toEqual(["DELETE", "PATCH", "PUT"]);
  expect(find("/c")).toBe("PATCH");
});
