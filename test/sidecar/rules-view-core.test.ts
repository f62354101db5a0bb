/** The verdicts on observed calls: names of callers, order, the limit, and a call that is only tested. */
import { expect, test } from "vitest";
import { RULE_CALLS_MAX } from "../../sidecar/api.ts";
import { judgeCalls } from "../../sidecar/core/rules-view.ts";
import { readServiceRules, type ServiceRules } from "../../sidecar/core/service-rules.ts";

const rulesOf = (text: string) => readServiceRules(text, "default").rules as ServiceRules;
const ORDERS = { namespace: "default", name: "orders" };

test("each call has its caller as rules name it, and the busiest come first", () => {
  const rules = rulesOf("rules:\n  - orders may call stock\n  - gateway may call stock\n");
  const { calls, omitted } = judgeCalls(rules, {
    namespace: "default",
    calls: [
      { caller: ORDERS, to: "stock", requests: 1 },
      { to: "stock", requests: 5 },
      { caller: { namespace: "money", name: "export" }, to: "stock", requests: 3 },
      { caller: { namespace: "default", name: "gateway" }, to: "stock", requests: 2 },
    ],
  });
  expect(calls.map(({ from, allowed }) => [from, allowed])).toEqual([
    ["gateway", true],
    ["money/export", false],
    // A service with the name of the gateways is not one of them.
    ["default/gateway", false],
    ["orders", true],
  ]);
  expect(calls.at(-1)).toMatchObject({ rule: "orders may call stock", line: 2 });
  expect(omitted).toBe(0);
});

test("calls beyond the limit are counted, and a tested call needs no observed one", () => {
  const calls = Array.from({ length: RULE_CALLS_MAX + 3 }, () => ({ caller: ORDERS, to: "stock", requests: 1 }));
  const question = { namespace: "default", calls, from: "money/export", to: "stock" };
  const strict = judgeCalls(rulesOf("strict: true\nrules: []\n"), question);
  expect([strict.calls.length, strict.omitted]).toEqual([RULE_CALLS_MAX, 3]);
  expect(strict.tested).toMatchObject({ allowed: false, reportOnly: false });
  const open = judgeCalls(rulesOf("rules:\n  - money/export may call stock\n"), question);
  expect(open.tested).toMatchObject({ allowed: true, rule: "money/export may call stock" });
});
