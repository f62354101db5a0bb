/** Rules between services: how they are read, what they decide and how they explain it. */
import { expect, test } from "vitest";
import type { WorkloadName } from "#identity/core";
import { readServiceRules, RuleBook, serviceRulesReleaseCheck } from "#sidecar/rules";

const service = (name: string, namespace = "shop"): WorkloadName => ({ kind: "service", namespace, name });
const gateway: WorkloadName = { kind: "gateway", name: "edge-1" };

function book(text: string): RuleBook {
  const read = readServiceRules(text, "shop");
  if (!read.rules) throw new Error(JSON.stringify(read.problems));
  return new RuleBook("shop", read.rules);
}

function problemsOf(text: string) {
  return (readServiceRules(text, "shop").problems ?? []).map(({ line, message }) => `${line}: ${message}`);
}

const MATRIX = `
rules:
  - orders may call stock
  - web may call *
  - web may not call payments
  - { from: orders, to: payments, allow: true }
  - billing/* may call payments
  - gateway may call web
  - billing/export may not call payments
`;

test.for([
  ["orders", "stock", true],
  ["web", "stock", true],
  ["web", "payments", false],
  ["orders", "payments", true],
  ["other", "payments", false],
  ["orders", "web", false],
] as const)("%s may call %s: %s", ([from, to, allowed]) => {
  expect(book(MATRIX).decide(service(from), to).allowed).toBe(allowed);
});

test("a rule is about one namespace, the gateways or everyone", () => {
  const rules = book(MATRIX);
  expect(rules.decide(service("orders", "billing"), "stock").allowed).toBe(false);
  expect(rules.decide(service("any", "billing"), "payments").allowed).toBe(true);
  expect(rules.decide(service("export", "billing"), "payments").allowed).toBe(false);
  expect(rules.decide(gateway, "web").allowed).toBe(true);
  expect(rules.decide(gateway, "payments").allowed).toBe(false);
  // A service that is named gateway is not a gateway.
  expect(rules.decide(service("gateway"), "web").allowed).toBe(false);
  expect(book("rules: [shop/gateway may call web]").decide(service("gateway"), "web").allowed).toBe(true);
  expect(book("rules: ['* may call web']").decide({ kind: "agent", name: "a" }, "web").allowed).toBe(true);
});

test("a destination without rules is open, unless the rules are strict", () => {
  const open = book("rules: [orders may call stock]");
  expect(open.decide(service("web"), "payments")).toMatchObject({ allowed: true, reportOnly: false });
  expect(open.decide(service("web"), "stock").allowed).toBe(false);
  const strict = book("strict: true\nrules: [orders may call stock]");
  expect(strict.decide(service("web"), "payments").allowed).toBe(false);
  expect(strict.decide(service("orders"), "stock").allowed).toBe(true);
});

test("report-only denies in name", () => {
  const rules = book("reportOnly: true\nstrict: true");
  expect(rules.decide(service("web"), "stock")).toMatchObject({ allowed: false, reportOnly: true });
  expect(book("reportOnly: true").decide(service("web"), "stock")).toMatchObject({ allowed: true, reportOnly: false });
});

test("a decision explains itself by its rule and line, or by the rule that is missing", () => {
  const rules = book(MATRIX);
  const why = (from: WorkloadName, to: string) => rules.decide(from, to).explanation;
  expect(why(service("web"), "payments")).toBe('rule "web may not call payments" in line 5');
  expect(why(service("x"), "stock")).toBe(
    '2 rules are about stock, and none allows x; to allow it, add "x may call stock"',
  );
  expect(why(service("x", "far"), "stock")).toContain('add "far/x may call stock"');
  expect(why(gateway, "stock")).toContain('add "gateway may call stock"');
  expect(book("").decide(service("x"), "stock").explanation).toBe(
    "no rule is about stock, and the rules are not strict",
  );
  expect(book("strict: true").decide(service("x"), "stock").explanation).toContain("the rules are strict");
});

test("bad rules are refused with their line and the remedy", () => {
  expect(problemsOf("rules:\n  - orders can call stock\n")).toEqual([
    '2: "orders can call stock" is not a valid rule. Write "FROM may call TO" or "FROM may not call TO".',
  ]);
  expect(problemsOf("rules:\n  - Orders may call stock\n")).toEqual([
    '2: "Orders" is not a valid service. Use a name, NAMESPACE/NAME, or *.',
  ]);
  expect(problemsOf("rules:\n  - a may call b\n  - orders may call far/stock\n")).toEqual([
    "3: The rules of namespace shop cannot open far/stock. Put this rule into service-rules.yaml of far.",
  ]);
  expect(problemsOf("strikt: true")).toEqual(['1: Unknown field "strikt". The fields are strict, reportOnly, rules.']);
  expect(problemsOf("strict: 1")).toEqual(["1: strict must be true or false, not 1."]);
  expect(problemsOf("rules: [{ from: a, to: b }]")[0]).toContain("needs from and to");
  expect(problemsOf("rules: [{ from: a, to: b, allow: true, why: x }]")[0]).toContain('Unknown field "why"');
  expect(problemsOf("rules: [7]")[0]).toContain("A rule must be a sentence");
  expect(problemsOf("rules: orders")[0]).toContain("rules must be a list");
  expect(problemsOf("[]")[0]).toContain("Expected the fields");
  expect(problemsOf("rules: [")).toHaveLength(1);
  expect(problemsOf("rules: [a may call *b]\n")).toHaveLength(1);
});

test("10,000 rules are read and decide; one more is refused", () => {
  const many = Array.from({ length: 10_000 }, (_, i) => `  - s${i} may call t${i % 100}`).join("\n");
  const rules = book(`rules:\n${many}\n`);
  expect(rules.decide(service("s5"), "t5").allowed).toBe(true);
  expect(rules.decide(service("s5"), "t6").allowed).toBe(false);
  expect(problemsOf(`rules:\n${many}\n  - a may call b\n`)[0]).toContain("at most 10000 rules");
});

test("a release with bad rules is rejected, and only there", () => {
  const name = { namespace: "shop", app: "posthouse", profile: "default" };
  const items = (value: string, format: "yaml" | "text" = "yaml") => ({ "service-rules.yaml": { format, value } });
  expect(serviceRulesReleaseCheck(name, items("rules: [nonsense]"))).toMatchObject([
    { key: "service-rules.yaml", pointer: "/rules/0", line: 1 },
  ]);
  expect(serviceRulesReleaseCheck(name, items("rules: []", "text"))).toHaveLength(1);
  expect(serviceRulesReleaseCheck(name, items("rules: [a may call b]"))).toEqual([]);
  expect(serviceRulesReleaseCheck({ ...name, app: "orders" }, items("rules: [nonsense]"))).toEqual([]);
  expect(serviceRulesReleaseCheck(name, {})).toEqual([]);
});
