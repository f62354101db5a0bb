/** Configs as environment variables: the names, the order, and what is refused. */
import { expect, test } from "vitest";
import type { Acknowledging } from "../../cli/acknowledging.ts";
import type { ConfigSource } from "../../cli/config-source.ts";
import type { ExecCommand } from "../../cli/exec-command.ts";
import { Follower } from "../../cli/follower.ts";
import { environmentOf, parseVariable, type EffectiveConfig } from "../../cli/environment.ts";
import { inherited } from "../../cli/inherited-environment.ts";

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

test("a later set overrides an earlier one, a variable named by hand overrides all, and names begin with the prefix", () => {
  const shared = set("shared", { "app.yaml": ["yaml", "db: { url: old, user: u }"] });
  const own = set("web", { "app.toml": ["toml", 'db.url = "new"'] });
  const variables = [parseVariable("P_DB_USER=app.yaml#db.url") as NonNullable<ReturnType<typeof parseVariable>>];
  expect(environmentOf([shared, own], { prefix: "P_", variables })).toEqual({
    values: { P_DB_URL: "new", P_DB_USER: "old" },
  });
});

test.each([
  ["two keys that would be one variable", { a: ["yaml", "x-y: 1\nx_y: 2"] }, [], '"a x-y" and "a x_y" both become X_Y'],
  [
    "a name that begins with a digit",
    { a: ["json", '{"1a": 2}'] },
    [],
    '"a 1a" is not a valid variable name; set --prefix',
  ],
  ["a value that is not its format", { a: ["json", "{"] }, [], "web/default a is not valid json"],
  ["a key that is missing", {}, ["URL=app.yaml#db"], 'URL: no set has the key "app.yaml"'],
  [
    "a path that is missing",
    { a: ["yaml", "b: {}"] },
    ["URL=a#b.constructor"],
    'URL: "a" has no value at b.constructor',
  ],
  ["a zero byte", { a: ["json", '{"b": "\\u0000"}'] }, [], "B: a variable must not contain a zero byte"],
] as [string, Record<string, [Item["format"], string]>, string[], string][])(
  "%s is refused",
  (_, items, named, why) => {
    const variables = named.map((text) => parseVariable(text)).filter((variable) => variable !== undefined);
    expect(environmentOf([set("web", items)], { prefix: "", variables })).toEqual({
      problem: expect.stringContaining(why),
    });
  },
);

test.each([
  "PATH",
  "path",
  "LD_PRELOAD",
  "ld.library.path",
  "NODE_OPTIONS",
  "BASH_ENV",
  "PYTHONPATH",
  "JAVA_TOOL_OPTIONS",
  "git.ssh.command",
])("config does not decide what code runs: %s", (key) => {
  const config = set("web", { [key]: ["text", "x"] });
  expect(environmentOf([config], PLAIN)).toEqual({
    problem: expect.stringContaining("decides what code runs") as string,
  });
  expect(environmentOf([config], { ...PLAIN, prefix: "APP_" })).toHaveProperty("values");
  const named = set("web", { other: ["text", "x"] });
  expect(environmentOf([named], { prefix: "", variables: [{ name: "PATH", key: "other", path: [] }] })).toEqual({
    values: { OTHER: "x", PATH: "x" },
  });
});

test("keys that posthouse itself reads are not variables, numbers keep their digits, and our own settings are not inherited", () => {
  const config = set("web", {
    "app.yaml": ["yaml", "big: 12345678901234567890\nmode: 0644\nlist: [12345678901234567890, 1.10]\n"],
    "flags.yaml": ["yaml", "flags: {}"],
    "imports.yaml": ["yaml", "- shared"],
    "app.yaml.schema.json": ["json", "{}"],
    "schema.json": ["json", '{"type":"object"}'],
  });
  expect(environmentOf([config], PLAIN)).toEqual({
    values: { BIG: "12345678901234567890", MODE: "0644", LIST: "[12345678901234567890,1.10]" },
  });
  expect(inherited({ HOME: "/", POSTHOUSE_TOKEN: "t", POSTHOUSE_AGENT_TOKEN: "t" })).toEqual({ HOME: "/" });
});

/** The first environment of `exec`, when the source delivers only this config. */
async function firstOf(items: EffectiveConfig["items"], wait?: number) {
  const stop = new AbortController();
  const name = { namespace: "default", app: "web", profile: "default" };
  const config = { ...name, releaseKey: "k", revision: Object.keys(items).length, items };
  const source = {
    async *follow() {
      yield config;
      await new Promise((resolve) => stop.signal.addEventListener("abort", resolve));
    },
  } as unknown as ConfigSource;
  const said: string[] = [];
  const acknowledging = { say: (_configs: unknown, outcome: string) => said.push(outcome) } as unknown as Acknowledging;
  const exec = { ...PLAIN, sets: [name], ...(wait === undefined ? {} : { wait }) } as unknown as ExecCommand;
  const first = await new Follower(source, { exec, acknowledging, signal: stop.signal }).first();
  stop.abort();
  return { first, said };
}

test("a token that sees masks ends at once with the reason, and --wait bounds the wait for a release", async () => {
  const origin = { profile: "default", version: 1 };
  const masked = { password: { format: "text" as const, value: "••••••", secret: true as const, origin } };
  expect(await firstOf(masked)).toEqual({
    first: { gaveUp: expect.stringContaining("password is a secret, which this token may not read") as string },
    said: ["failed"],
  });
  expect(await firstOf({}, 0.01)).toEqual({
    first: { gaveUp: "not started within 0.01 s: not every set has a release" },
    said: [],
  });
});
