/** Configs as environment variables: the names, the order, and what is refused. */
import { expect, test } from "vitest";
import { environmentOf, parseVariable, type EffectiveConfig } from "../../cli/environment.ts";

type Item = EffectiveConfig["items"][string];

function set(app: string, items: Record<string, [Item["format"], string]>) {
  const origin = { profile: "default", version: 1 };
  return {
    app,
    profile: "default",
    items: Object.fromEntries(Object.entries(items).map(([key, [format, value]]) => [key, { format, value, origin }])),
  };
}
const PLAIN = { prefix: "", variables: [] };

test("a path is a name in capitals, a list is JSON, null is nothing, a text has its key's name", () => {
  const yaml = "db: { url: x, pool-size: 5, tls: true, none: null }\nhosts: [a, b]";
  const app = set("web", { "app.yaml": ["yaml", yaml], motd: ["text", "hello\nyou"], "n.json": ["json", "7"] });
  expect(environmentOf([app], PLAIN)).toEqual({
    values: { DB_URL: "x", DB_POOL_SIZE: "5", DB_TLS: "true", HOSTS: '["a","b"]', MOTD: "hello\nyou", N_JSON: "7" },
  });
});

test("a later set stands over an earlier one, what is named by hand over all, and a prefix before the rest", () => {
  const shared = set("shared", { "app.yaml": ["yaml", "db: { url: old, user: u }"] });
  const own = set("web", { "app.toml": ["toml", 'db.url = "new"'] });
  const variables = [parseVariable("P_DB_USER=app.yaml#db.url") as NonNullable<ReturnType<typeof parseVariable>>];
  expect(environmentOf([shared, own], { prefix: "P_", variables })).toEqual({
    values: { P_DB_URL: "new", P_DB_USER: "old" },
  });
});

test.each([
  ["two keys that would be one variable", { a: ["yaml", "x-y: 1\nx_y: 2"] }, [], '"a x-y" and "a x_y" are both X_Y'],
  ["a name that begins with a digit", { a: ["json", '{"1a": 2}'] }, [], '"a 1a" is no variable; set a prefix'],
  ["a value that is not its format", { a: ["json", "{"] }, [], "web/default a is no json"],
  ["a key that is missing", {}, ["URL=app.yaml#db"], 'URL: no set has the key "app.yaml"'],
  [
    "a path that is missing",
    { a: ["yaml", "b: {}"] },
    ["URL=a#b.constructor"],
    'URL: "a" has nothing at b.constructor',
  ],
  ["a zero byte", { a: ["json", '{"b": "\\u0000"}'] }, [], "B: a variable may hold no zero byte"],
] as [string, Record<string, [Item["format"], string]>, string[], string][])(
  "%s is refused",
  (_, items, named, why) => {
    const variables = named.map((text) => parseVariable(text)).filter((variable) => variable !== undefined);
    expect(environmentOf([set("web", items)], { prefix: "", variables })).toEqual({
      problem: expect.stringContaining(why),
    });
  },
);
