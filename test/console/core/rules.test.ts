/** Edits of service rules keep the rest of the text, and the server reads what they write; what a text changes for calls. */
import { describe, expect, test } from "vitest";
import type { ObservedCall } from "#sidecar/api";
import { readServiceRules } from "#sidecar/rules";
import {
  effectOf,
  isCaller,
  isDestination,
  isTestable,
  judgedCalls,
  matchesCall,
  requestsByRule,
  sentenceOf,
  withFlag,
  withoutRule,
  withRule,
} from "../../../console/pages/rules/core.ts";

const RULE = { from: "*", to: "stock", allow: false };
const sentences = (text: string | undefined) =>
  readServiceRules(text ?? "?", "default").rules?.rules.map((rule) => rule.text);

describe("adding a rule", () => {
  test.each([
    ["", ["* may not call stock"]],
    ["# ours\nstrict: true\n", ["* may not call stock"]],
    ["rules: []\nstrict: true\n", ["* may not call stock"]],
    ["rules: # list\n  - a may call b # why\n\n# end\nstrict: true\n", ["a may call b", "* may not call stock"]],
    [
      "rules:\n- a may call b\n- { from: c,\n    to: d, allow: true }\n",
      ["a may call b", "c may call d", "* may not call stock"],
    ],
  ])("to %j", (text, rules) => {
    const next = withRule(text, RULE);
    expect(sentences(next)).toEqual(rules);
    for (const line of text.split("\n")) if (!line.includes("[]")) expect(next).toContain(line);
  });

  test.each(["rules: [a may call b]", '{"rules":[]}', "rules: *x"])("leaves %j to its author", (text) => {
    expect(withRule(text, RULE)).toBeUndefined();
  });
});

describe("removing a rule", () => {
  test("by its line", () => {
    const text = "rules:\n  - a may call b\n  - c may call d\nstrict: true\n";
    expect(withoutRule(text, 2)).toBe("rules:\n  - c may call d\nstrict: true\n");
    const none = withoutRule(withoutRule(text, 2) ?? "", 2);
    expect(none).toBe("rules: []\nstrict: true\n");
    expect(sentences(none)).toEqual([]);
  });

  test("not when it has several lines, or shares its line", () => {
    expect(withoutRule("rules:\n  - from: a\n    to: b\n    allow: true\n", 2)).toBeUndefined();
    expect(withoutRule("rules: [a may call b]\n", 1)).toBeUndefined();
  });
});

describe("switches", () => {
  test.each([
    ["", "strict: true\n"],
    ["# ours\nrules: []\n", "# ours\nstrict: true\nrules: []\n"],
    ["rules: []\nstrict: false # for now\n", "rules: []\nstrict: true # for now\n"],
  ])("on: %j", (text, next) => expect(withFlag(text, "strict", true)).toBe(next));

  test("off, absent and unreadable", () => {
    expect(withFlag("reportOnly: true\n", "reportOnly", false)).toBe("reportOnly: false\n");
    expect(withFlag("rules: []\n", "reportOnly", false)).toBe("rules: []\n");
    expect(withFlag("strict: maybe\n", "strict", true)).toBeUndefined();
  });
});

test("names are those of the server", () => {
  for (const name of ["orders", "shop/web", "shop/*", "*", "gateway"]) {
    expect(isCaller(name), name).toBe(true);
    expect(sentences(`rules:\n  - "${sentenceOf({ from: name, to: "x", allow: true })}"`), name).toHaveLength(1);
  }
  for (const name of ["Orders", "a/b/c", "", "-a"]) expect(isCaller(name), name).toBe(false);
  expect(isDestination("shop/web")).toBe(false);
  expect(isTestable("gateway", "orders")).toBe(true);
  expect(isTestable("*", "orders")).toBe(false);
  expect(isTestable("orders", "*")).toBe(false);
});

describe("what a text changes", () => {
  const call = (from: string, more: Partial<ObservedCall> = {}): ObservedCall => ({
    from,
    to: "stock",
    requests: 10,
    allowed: true,
    reportOnly: false,
    why: "",
    ...more,
  });
  const released = [call("a"), call("b", { allowed: false }), call("c"), call("d", { rule: "d may call stock" })];
  const drafted = [
    call("a", { allowed: false }),
    call("b"),
    call("c", { allowed: false, reportOnly: true }),
    call("d", { rule: "d may call stock" }),
  ];
  const calls = judgedCalls({ calls: released }, { calls: drafted });

  test("closes, opens and reports", () => {
    const { closed, opened, reported } = effectOf(calls);
    expect([closed, opened, reported].map((list) => list.map(({ from }) => from))).toEqual([["a"], ["b"], ["c"]]);
    expect(effectOf(judgedCalls({ calls: released }, undefined))).toEqual({ closed: [], opened: [], reported: [] });
  });

  test("filters", () => {
    const found = (filter: "all" | "denied" | "changed", words = "") =>
      calls.filter((one) => matchesCall(one, filter, words)).map(({ from }) => from);
    expect(found("all")).toEqual(["a", "b", "c", "d"]);
    expect(found("denied")).toEqual(["a", "c"]);
    expect(found("changed")).toEqual(["a", "b", "c"]);
    expect(found("all", "D")).toEqual(["d"]);
  });

  test("requests of each rule", () => {
    expect([...requestsByRule([...released, call("e", { rule: "d may call stock", requests: 5 })])]).toEqual([
      ["d may call stock", 15],
    ]);
  });
});
