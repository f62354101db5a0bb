/** Templates: how names are found, how values are written, and that nothing absent ever becomes nothing. */
import { expect, test } from "vitest";
import {
  DEPTH_MAX,
  renderTemplate,
  RENDERED_CHARS_MAX,
  STEPS_MAX,
  type TemplateInput,
} from "../../agent/core/template.ts";
import { planFile } from "../../agent/core/plan.ts";
import { readValue } from "#base/formats";
import type { EffectiveConfig } from "#config-server/api";
import { config } from "./template-kit.ts";

const ORDERS = config("orders", {
  "app.yaml": ["yaml", "db: { url: pg://a, pool.max: 5 }\nhosts: [{ name: one, port: 1 }, { name: two }]\noff: false"],
  "flags.toml": ["toml", "[beta]\nshare = 0.5\nsince = 2026-01-02T03:04:05Z"],
  "legacy.properties": ["properties", "jdbc.url=jdbc:x\nname : a\\u0062c\n# no\nlong = one \\\n   two"],
  "nginx.conf": ["text", "worker_processes 1;"],
  motd: ["text", `it's "here" & <there>`],
});

function render(template: string, more: Partial<TemplateInput> = {}) {
  return renderTemplate({ template, escape: "none", config: ORDERS, sets: new Map(), ...more });
}

test.each([
  ["a key without its ending, then a path", "{{app.db.url}}", "pg://a"],
  ["a key in full, then a path", "{{app.yaml.db.url}}", "pg://a"],
  ["a key by itself is its text", "{{nginx.conf}} {{motd}}", `worker_processes 1; it's "here" & <there>`],
  ["what only one key has, without naming the key", "{{db.url}} {{beta.share}}", "pg://a 0.5"],
  ["names with dots in them", "{{app.db.pool.max}} {{legacy.jdbc.url}}", "5 jdbc:x"],
  ["properties with escapes and continued lines", "{{legacy.name}} {{legacy.long}}", "abc one two"],
  ["a date as it is written", "{{flags.beta.since}}", "2026-01-02T03:04:05Z"],
  ["a section over a table", "{{#db}}{{url}}{{/db}} {{#app.db}}{{pool.max}}{{/app.db}}", "pg://a 5"],
  ["a section over a key", "{{#app}}{{db.url}}{{/app}}", "pg://a"],
  ["a list, with what is around it", "{{#hosts}}{{name}}={{app.db.url}};{{/hosts}}", "one=pg://a;two=pg://a;"],
  ["a list's own members", "{{hosts.1.name}}", "two"],
  [
    "parts that may be absent",
    "{{#hosts}}{{name}}{{#port?}}:{{port}}{{/port?}},{{/hosts}}{{^none?}}no{{/none?}}",
    "one:1,two,no",
  ],
  ["false as nothing", "{{#off}}on{{/off}}{{^off}}off{{/off}}", "off"],
  ["comments and other delimiters", "{{! hello }}{{=<% %>=}}<% db.url %> {{db}}", "pg://a {{db}}"],
  ["lines of sections alone leave no empty line", "a\n{{#db}}\n{{url}}\n{{/db}}\nb\n", "a\npg://a\nb\n"],
] as const)("%s", (_, template, text) => {
  expect(render(template)).toEqual({ text });
});

test.each([
  ["an absent name", "a\n\n{{app.db.urll}}", 3, "{{app.db.urll}} does not exist: orders/default has app.yaml"],
  ["an absent section", "\n{{#nope}}x{{/nope}}", 2, "{{nope}} does not exist"],
  ["an absent inverted section", "{{^nope}}x{{/nope}}", 1, "{{nope}} does not exist"],
  ["a name absent in one member of a list", "{{#hosts}}\n{{port}}\n{{/hosts}}", 2, "{{port}} does not exist"],
  ["a variable that may be absent", "{{db.url?}}", 1, "put it into a section {{#db.url?}}"],
  ["what an object inherits", "{{app.constructor}} {{toString}}", 1, "{{app.constructor}} does not exist"],
  ["a table where a text is wanted", "{{app.db}}", 1, "{{app.db}} is a table"],
  ["a list where a text is wanted", "x\n{{hosts}}", 2, "{{hosts}} is a list"],
  ["a partial", "{{> other}}", 1, "{{>other}} is a partial"],
  ["a tag that is not closed", "a\nb {{db.url", 2, "Unclosed tag"],
  ["a section that is not closed", "a\n{{#db}}", 2, 'Unclosed section "db"'],
] as const)("%s is an error with its line", (_, template, line, message) => {
  expect(render(template)).toEqual({ problem: { line, message: expect.stringContaining(message) } });
});

test("a name that two keys have is an error that names both, until the key is said", () => {
  const both = config("web", { "a.yaml": ["yaml", "port: 1"], "b.json": ["json", '{"port":2}'] });
  expect(render("{{port}}", { config: both })).toEqual({
    problem: { line: 1, message: `"port" is in a.yaml and b.json of web/default; put the key in front of it` },
  });
  expect(render("{{a.port}}{{b.port}}", { config: both })).toEqual({ text: "12" });
  const twins = config("web", { "a.yaml": ["yaml", "port: 1"], "a.json": ["json", '{"port":2}'] });
  expect(render("{{a.port}}", { config: twins }).problem?.message).toContain("a.yaml and a.json");
  expect(render("{{a.json.port}}", { config: twins })).toEqual({ text: "2" });
});

test("null is an error, and a key that is not its format says so", () => {
  const odd = config("web", { "a.yaml": ["yaml", "x: null"], "b.json": ["json", "{"] });
  expect(render("\n{{a.x}}", { config: odd })).toEqual({ problem: { line: 2, message: "{{a.x}} is null" } });
  expect(render("{{b.x}}", { config: odd }).problem?.message).toMatch(/^web\/default b\.json is not valid json: /);
});

test("further sets are available under their names, and nowhere else", () => {
  const sets = new Map([["shared", config("shared", { "app.yaml": ["yaml", "region: eu"] })]]);
  expect(render("{{shared.app.region}} {{shared.region}} {{#shared}}{{region}}{{/shared}}", { sets })).toEqual({
    text: "eu eu eu",
  });
  expect(render("{{region}}", { sets }).problem?.message).toContain("other sets: shared");
  expect(render("{{shared}}", { sets }).problem?.message).toContain("is a whole set");
});

test("an escape writes whole values that the format reads back as they were", () => {
  const odd = `a"b\\c: {x} #\n'd' é`;
  const nasty = config("web", { "a.json": ["json", JSON.stringify({ odd, list: [1, { two: 2 }], n: 7 })] });
  const json = render(`{"odd": {{odd}}, "list": {{list}}, "n": {{n}}, "raw": "{{{n}}}"}`, {
    config: nasty,
    escape: "json",
  });
  expect(JSON.parse(json.text ?? "")).toEqual({ odd, list: [1, { two: 2 }], n: 7, raw: "7" });
  const yaml = render("odd: {{odd}}\nlist: {{list}}\n", { config: nasty, escape: "yaml" });
  expect(readValue({ format: "yaml", value: yaml.text ?? "" })).toEqual({ odd, list: [1, { two: 2 }] });
  expect(render("X={{odd}}", { config: nasty, escape: "shell" })).toEqual({
    text: `X='${odd.replaceAll("'", `'\\''`)}'`,
  });
});

test("a template that would never end is cut, with its line", () => {
  const long = config("web", {
    "a.json": ["json", JSON.stringify({ l: Array.from({ length: 200 }, () => "x".repeat(100)) })],
  });
  expect(render("\n{{#l}}{{#l}}{{.}}{{/l}}{{/l}}", { config: long })).toEqual({
    problem: { line: 2, message: expect.stringContaining(String(RENDERED_CHARS_MAX)) },
  });
});

test("sections that take for ever, or are nested without end, are errors, and quickly", () => {
  const long = config("web", { "a.json": ["json", JSON.stringify({ l: Array.from({ length: 3_000 }, () => 1) })] });
  const nested = "{{#l}}{{#l}}{{#l}}{{/l}}{{/l}}{{/l}}";
  expect(render(nested, { config: long }).problem?.message).toContain(`more than ${STEPS_MAX} steps`);
  const deep = `${"{{#app}}".repeat(50_000)}x${"{{/app}}".repeat(50_000)}`;
  expect(render(deep).problem?.message).toContain(`more than ${DEPTH_MAX} deep`);
  const inverted = `${"{{^none?}}".repeat(50_000)}x${"{{/none?}}".repeat(50_000)}`;
  expect(render(inverted).problem?.message).toContain(`more than ${DEPTH_MAX} deep`);
  expect(render(`{{a${".a".repeat(50_000)}}}`).problem?.message).toContain(`more than ${DEPTH_MAX} parts`);
});

test("a file made of several sets waits until each is released, and names its template when it cannot be made", () => {
  const wanted = { key: undefined, template: { source: { key: "nginx.conf" }, escape: "none" as const } };
  const known = (other: EffectiveConfig | undefined) => ({
    config: ORDERS,
    sets: new Map([["other", other]]),
    template: undefined,
  });
  expect(planFile(wanted, known(undefined), undefined)).toEqual({ state: "waiting" });
  expect(planFile(wanted, known(config("other", {}, 0)), undefined)).toEqual({ state: "waiting" });
  const value = "worker_processes 1;";
  expect(planFile(wanted, known(config("other", {})), "old")).toEqual({ state: "write", value });
  expect(planFile(wanted, known(config("other", {})), value)).toEqual({ state: "current" });
  const gone = { key: undefined, template: { source: { key: "gone" }, escape: "none" as const } };
  expect(planFile(gone, known(config("other", {})), "old")).toEqual({
    state: "invalid",
    message: 'orders/default has no key "gone"',
  });
});
