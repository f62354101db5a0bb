/** A file from a template, at the edges: the last that a limit lets through, what counts as nothing, and what is never written. */
import { expect, test } from "vitest";
import type { EffectiveConfig } from "#config-server/api";
import { encodingOf, planFile, type KnownConfigs } from "../../agent/core/plan.ts";
import { renderTemplate, type TemplateInput } from "../../agent/core/template.ts";
import { config } from "./template-kit.ts";

const json = (value: unknown) => config("web", { "data.json": ["json", JSON.stringify(value)] });
const render = (template: string, set: EffectiveConfig, more: Partial<TemplateInput> = {}) =>
  renderTemplate({ template, escape: "none", config: set, sets: new Map(), ...more });
const problemOf = (template: string, set: EffectiveConfig, more: Partial<TemplateInput> = {}) =>
  render(template, set, more).problem;

test("a file has 1,048,576 characters at most, written out and filled in together", () => {
  const set = json({ half: "x".repeat(524_288) });
  expect(render("{{half}}{{half}}", set).text).toHaveLength(1_048_576);
  const message = "the file would have more than 1048576 characters";
  expect(problemOf("\n{{half}}\n{{half}}", set)).toEqual({ line: 3, message });
  expect(problemOf("{{half}}{{half}}.", set)).toEqual({ line: 1, message });
});

test("sections are nested 64 deep at most, and the error is on the line of the first that is deeper", () => {
  const nested = (count: number) => `${"{{#t}}\n".repeat(count)}x\n${"{{/t}}\n".repeat(count)}`;
  const set = json({ t: true });
  // The file itself is the first of them.
  expect(render(nested(63), set)).toEqual({ text: "x\n" });
  expect(problemOf(nested(64), set)).toEqual({ line: 64, message: "sections are nested more than 64 deep" });
  expect(render("{{#t}}a{{/t}}".repeat(200), set)).toEqual({ text: "a".repeat(200) });
});

test("a name has 64 parts at most", () => {
  const name = (parts: number) => Array.from({ length: parts }, () => "a").join(".");
  const deep = (parts: number): unknown => (parts === 0 ? "end" : { a: deep(parts - 1) });
  expect(render(`{{${name(64)}}}`, json(deep(64)))).toEqual({ text: "end" });
  expect(problemOf(`{{${name(65)}}}`, json(deep(65)))?.message).toBe("a name has more than 64 parts");
});

test("a file takes 200,000 steps at most: a tag each, and a turn of a section each; texts take none", () => {
  const set = json({ l: Array.from({ length: 446 }, () => 1), x: "" });
  // The file, the outer section, and for each of 446 turns itself, the inner section, and its 446 turns.
  const nested = "a{{#l}}b{{#l}}{{/l}}c{{/l}}d";
  const left = 200_000 - (2 + 446 * (2 + 446));
  expect(render(nested + "{{x}}".repeat(left), set).text).toHaveLength(2 + 2 * 446);
  expect(problemOf(`${nested}${"{{x}}".repeat(left)}\n{{x}}`, set)).toEqual({
    line: 2,
    message: "the file would take more than 200000 steps to fill in",
  });
});

test("an inverted section is for what is false, null or an empty list, and for nothing else", () => {
  const set = json({ off: false, none: null, empty: [], one: [0], table: {}, zero: 0, text: "", on: true });
  const shown = (name: string) =>
    [`{{^${name}}}no{{/${name}}}`, `{{#${name}}}yes{{/${name}}}`].map((one) => render(one, set).text);
  for (const name of ["off", "none", "empty", "text", "zero"]) expect([name, shown(name)]).toEqual([name, ["no", ""]]);
  for (const name of ["one", "table", "on"]) expect([name, shown(name)]).toEqual([name, ["", "yes"]]);
});

test("a list's turns see their own member first, a dot is the member itself, and members are found by number", () => {
  const set = json({ list: [{ a: 1 }, { a: 2 }], flat: ["x", "y"], a: 9 });
  expect(render("{{#list}}{{a}}{{/list}}{{a}}", set)).toEqual({ text: "129" });
  expect(render("{{#flat}}{{.}}{{/flat}}{{flat.1}}", set)).toEqual({ text: "xyy" });
  for (const name of ["flat.2", "flat.-1", "flat.x", "flat.1.x", "a.b"])
    expect(problemOf(`{{${name}}}`, set)?.message).toContain(`{{${name}}} does not exist`);
  expect(problemOf("{{.}}", set)?.message).toBe("{{.}} is a whole set; name one of its keys");
});

test("the longest name that leads somewhere wins, in a table and among keys", () => {
  const set = json({ "a.b": { c: 1 }, a: { b: { c: 2, d: 3 } } });
  expect(render("{{a.b.c}} {{a.b.d}}", set)).toEqual({ text: "1 3" });
  const keys = config("web", { "x.y.json": ["json", '{"z":1}'], "x.json": ["json", '{"y":{"z":2,"w":3}}'] });
  expect(render("{{x.y.z}} {{x.y.w}}", keys)).toEqual({ text: "1 3" });
  // A key in full before one without its ending.
  const both = config("web", { x: ["text", "full"], "x.json": ["json", "1"] });
  expect(render("{{x}}", both)).toEqual({ text: "full" });
});

test("an error names ten keys, and that there are more", () => {
  const keys = (count: number) =>
    config("web", Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${at}`, ["text", "x"]])));
  const ten = "web/default has k0, k1, k2, k3, k4, k5, k6, k7, k8, k9";
  expect(problemOf("{{nope}}", keys(10))?.message).toBe(`{{nope}} does not exist: ${ten}`);
  expect(problemOf("{{nope}}", keys(11))?.message).toBe(`{{nope}} does not exist: ${ten}, …`);
  expect(problemOf("{{nope}}", config("web", {}))?.message).toBe("{{nope}} does not exist: web/default has no keys");
});

test("a zero byte is not a valid shell word, and an infinite number is not valid JSON", () => {
  const zero = json({ z: "a\u0000b" });
  expect(problemOf("\n{{z}}", zero, { escape: "shell" })).toEqual({
    line: 2,
    message: "{{z}} contains a zero byte, which a shell word cannot have",
  });
  expect(render("{{z}}", zero)).toEqual({ text: "a\u0000b" });
  const infinite = config("web", { "a.toml": ["toml", "x = inf"] });
  for (const escape of ["json", "yaml"] as const)
    expect(problemOf("\n{{x}}", infinite, { escape })).toEqual({
      line: 2,
      message: expect.stringContaining("{{x}}: inf"),
    });
  expect(render("{{x}}", infinite)).toEqual({ text: "inf" });
});

const MASK = "••••••";
function masked(format: "text" | "json"): EffectiveConfig {
  const set = config("web", { s: [format, MASK], open: ["text", "o"] });
  return { ...set, items: { ...set.items, s: { ...set.items["s"], secret: true } } } as EffectiveConfig;
}

test("a secret that the agent may not read is an error, by itself, by a path and as a section; the rest is filled in", () => {
  for (const template of [
    "\n{{s}}",
    "\n{{{s}}}",
    "\n{{s.x}}",
    "\n{{#s}}{{/s}}",
    "\n{{^s}}{{/s}}",
    "\n{{#s.x?}}{{/s.x?}}",
  ]) {
    expect(problemOf(template, masked("json"))).toEqual({
      line: 2,
      message:
        "web/default s is a secret that the agent's token may not read; give the agent a token with the policy agent",
    });
  }
  expect(render("{{open}}", masked("text"))).toEqual({ text: "o" });
  // Text that is not JSON is quoted in an error, but not for a secret.
  const secret = masked("json");
  const broken = { ...secret, items: { s: { ...secret.items["s"], value: "{hidden" } } } as EffectiveConfig;
  expect(problemOf("{{s.x}}", broken)?.message).toBe("web/default s is not valid json");
});

test("bytes are the text that stands for them, and have no names within", () => {
  const set = config("web", { b: ["binary", "AAE="] });
  expect(render("{{b}} {{#b}}x{{/b}}", set)).toEqual({ text: "AAE= x" });
  expect(problemOf("{{b.x}}", set)?.message).toContain("does not exist");
});

const known = (more: Partial<KnownConfigs> = {}): KnownConfigs => ({
  config: undefined,
  sets: new Map(),
  template: undefined,
  ...more,
});
const fromKey = (key: string) => ({ key });
const fromTemplate = (source: { readonly key: string } | { readonly path: string }) => ({
  key: undefined,
  template: { source, escape: "none" as const },
});

test("a file of one key waits for its config, stays when the key is gone, and is never written as a mask", () => {
  const set = config("web", { a: ["text", "1"] });
  expect(planFile(fromKey("a"), known(), "0")).toEqual({ state: "waiting" });
  expect(planFile(fromKey("a"), known({ config: set }), "0")).toEqual({ state: "write", value: "1" });
  expect(planFile(fromKey("a"), known({ config: set }), undefined)).toEqual({ state: "write", value: "1" });
  expect(planFile(fromKey("a"), known({ config: set }), "1")).toEqual({ state: "current" });
  expect(planFile(fromKey("b"), known({ config: set }), "0")).toEqual({ state: "absent" });
  expect(planFile(fromKey("toString"), known({ config: set }), "0")).toEqual({ state: "absent" });
  expect(planFile(fromKey("s"), known({ config: masked("text") }), "0")).toEqual({ state: "masked" });
});

test("a file of a template waits until its set is released and the template is read", () => {
  const set = config("web", { a: ["text", "1"], t: ["text", "a={{a}}"] });
  const unreleased = config("web", {}, 0);
  const onHost = fromTemplate({ path: "/etc/t" });
  expect(planFile({ key: undefined }, known({ config: set }), "0")).toEqual({ state: "waiting" });
  expect(planFile(onHost, known({ config: unreleased, template: "x" }), "0")).toEqual({ state: "waiting" });
  expect(planFile(onHost, known({ config: set, template: "b={{a}}" }), "b=1")).toEqual({ state: "current" });
  expect(planFile(onHost, known({ config: set }), "0")).toMatchObject({ state: "invalid" });
  expect(planFile(onHost, known({ config: set, template: "\n{{b}}" }), "0")).toEqual({
    state: "invalid",
    message: expect.stringMatching(/^\/etc\/t:2: \{\{b}} does not exist/),
  });
  // One of the set comes from there, whatever the host has.
  const ofSet = fromTemplate({ key: "t" });
  expect(planFile(ofSet, known({ config: set, template: "other" }), "0")).toEqual({ state: "write", value: "a=1" });
});

test("only a binary value is read and written as base64", () => {
  const set = config("web", { b: ["binary", "AAE="], a: ["text", "1"] });
  expect(encodingOf({ key: "b" }, set)).toBe("base64");
  for (const [key, of] of [
    ["a", set],
    ["gone", set],
    [undefined, set],
    ["b", undefined],
  ] as const)
    expect(encodingOf({ key }, of)).toBe("utf8");
});
