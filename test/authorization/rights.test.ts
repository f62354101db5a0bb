/** Decisions of compiled policies: deny wins, access needs a rule, globs, absent fields, and the memory of decisions. */
import { expect, test } from "vitest";
import {
  ACTION_NAMES,
  BUILT_IN_POLICIES,
  builtInRights,
  matchesGlob,
  missingRule,
  type Policy,
  PolicyBook,
  policyProblem,
  Rights,
} from "#authorization";

const policy = (name: string, ...rules: Policy["rules"]): Policy => ({ name, rules });
const rightsOf = (...policies: Policy[]) =>
  new Rights(
    policies.map(({ name }) => name),
    policies,
  );

const TEAM = policy(
  "orders-team",
  { effect: "allow", actions: ["config:*"], on: { namespace: ["prod", "team-*"], app: ["orders"] } },
  { effect: "deny", actions: ["config:publish"], on: { namespace: ["prod"] } },
  { effect: "deny", actions: ["config:read"], on: { key: ["secret/*"] } },
);
const ORDERS = { namespace: "prod", app: "orders", profile: "default", key: "app.yaml" };

test.each([
  ["", "", true],
  ["*", "", true],
  ["a*", "abc", true],
  ["a*c", "abd", false],
  ["*b*", "abc", true],
  ["a*b*c", "a-b-b-c", true],
  ["a.c", "abc", false],
  ["a", "ab", false],
  ["*.yaml", "x.yaml", true],
  ["secret/*", "secret/", true],
  ["secret/*", "secret", false],
  ["(a+)+$", "aaaa", false],
])("the glob %j matches %j: %s", (glob, text, expected) => {
  expect(matchesGlob(glob, text)).toBe(expected);
});

test("a glob with many stars takes a time that grows with the lengths, not with their powers", () => {
  const started = performance.now();
  expect(matchesGlob(`${"a*".repeat(250)}b`, "a".repeat(10_000))).toBe(false);
  expect(performance.now() - started).toBeLessThan(2_000);
});

test("a rule that allows must match in every field, and a rule that denies wins", () => {
  const rights = rightsOf(TEAM);
  expect(rights.allows("config:draft", ORDERS)).toBe(true);
  expect(rights.allows("config:draft", { ...ORDERS, namespace: "team-a" })).toBe(true);
  expect(rights.allows("config:draft", { ...ORDERS, app: "pay" })).toBe(false);
  expect(rights.decide("config:publish", ORDERS)).toEqual({
    allowed: false,
    rule: { policy: "orders-team", index: 2, effect: "deny" },
    why: "rule 2 of the policy orders-team denies it",
  });
  expect(rights.allows("config:publish", { ...ORDERS, namespace: "team-a" })).toBe(true);
  expect(rights.decide("locks:read", { lock: "a" })).toEqual({
    allowed: false,
    why: "no rule of the policies orders-team allows it",
  });
});

test("a deny of one policy wins over an allow of another, in either order", () => {
  const all = policy("all", { effect: "allow", actions: ["*"] });
  for (const rights of [rightsOf(all, TEAM), rightsOf(TEAM, all)]) {
    expect(rights.allows("config:publish", ORDERS)).toBe(false);
    expect(rights.allows("config:keys", {})).toBe(true);
  }
});

test("an absent field is every value for a decision, and some value for a list", () => {
  const rights = rightsOf(TEAM);
  const set = { namespace: "prod", app: "orders", profile: "default" };
  // Some keys may not be read, so not all of the set.
  expect(rights.allows("config:read", set)).toBe(false);
  expect(rights.allows("config:read", set, "some")).toBe(true);
  expect(rights.allows("config:read", { ...set, key: "secret/a" }, "some")).toBe(false);
  expect(rights.allows("config:draft", {}, "some")).toBe(true);
  expect(rights.allows("config:draft", {})).toBe(false);
  expect(rights.allows("config:publish", { namespace: "prod" }, "some")).toBe(false);
});

test("a rule concerns only actions that have all of its fields", () => {
  const rights = rightsOf(policy("p", { effect: "allow", actions: ["*"], on: { app: ["orders"] } }));
  expect(rights.actions().every((action) => action.startsWith("config:"))).toBe(true);
  expect(rights.allows("registry:read", {}, "some")).toBe(false);
  const denied = rightsOf(
    policy("a", { effect: "allow", actions: ["*"] }),
    policy("b", { effect: "deny", actions: ["*"], on: { app: ["orders"] } }),
  );
  expect(denied.allows("registry:read", { namespace: "prod", service: "orders" })).toBe(true);
  expect(denied.allows("config:read", ORDERS)).toBe(false);
});

test("a caller that reads any config reads that of posthouse, unless it is denied", () => {
  const own = { namespace: "prod", app: "posthouse", profile: "default", key: "log.level" };
  const keys = policy("k", { effect: "allow", actions: ["config:read"], on: { app: ["a"], key: ["public/*"] } });
  expect(rightsOf(keys).allows("config:read", own)).toBe(true);
  const inDev = policy("n", { effect: "allow", actions: ["config:read"], on: { namespace: ["dev"], app: ["a"] } });
  expect(rightsOf(inDev).allows("config:read", own)).toBe(false);
  const denied = policy("d", { effect: "deny", actions: ["config:read"], on: { app: ["posthouse"] } });
  expect(rightsOf(keys, denied).allows("config:read", own)).toBe(false);
  expect(rightsOf(keys).allows("config:draft", own)).toBe(false);
});

test("two resources whose texts join to the same are not mistaken for each other", () => {
  const rights = rightsOf(
    policy("p", { effect: "allow", actions: ["locks:read"], on: { namespace: ["a"], lock: ["1:b"] } }),
  );
  expect(rights.allows("locks:read", { namespace: "a", lock: "1:b" })).toBe(true);
  expect(rights.allows("locks:read", { namespace: "a3:1:b", lock: "" })).toBe(false);
  expect(rights.allows("locks:read", { namespace: "-", lock: "1:b" })).toBe(false);
  expect(rights.allows("locks:read", { lock: "1:b" })).toBe(false);
  // Decisions are remembered, and stay the same.
  expect(rights.allows("locks:read", { namespace: "a", lock: "1:b" })).toBe(true);
});

test("the missing rule would allow exactly this", () => {
  const rule = missingRule("config:read", ORDERS);
  const rights = rightsOf(policy("p", rule));
  expect(rights.allows("config:read", ORDERS)).toBe(true);
  expect(rights.allows("config:read", { ...ORDERS, key: "other" })).toBe(false);
  expect(missingRule("config:keys", {})).toEqual({ effect: "allow", actions: ["config:keys"] });
});

test("a change of a policy makes new rights for its callers, and for no others", () => {
  const book = new PolicyBook();
  book.put(TEAM);
  const [team, viewer, both] = [["orders-team"], ["viewer"], ["viewer", "orders-team"]].map((names) =>
    book.rightsOf(names),
  );
  expect(book.rightsOf(["orders-team", "viewer"])).toBe(both);
  book.put({ ...TEAM, rules: [{ effect: "allow", actions: ["locks:*"] }] });
  expect(book.rightsOf(["viewer"])).toBe(viewer);
  expect(book.rightsOf(["orders-team"])).not.toBe(team);
  expect(book.rightsOf(["orders-team", "viewer"])).not.toBe(both);
  expect(book.rightsOf(["orders-team"]).allows("config:draft", ORDERS)).toBe(false);
  book.delete("orders-team");
  expect(book.rightsOf(["orders-team"]).actions()).toEqual([]);
  // Built-in policies stay as they are.
  book.put(policy("viewer", { effect: "allow", actions: ["*"] }));
  book.delete("viewer");
  expect(book.rightsOf(["viewer"])).toBe(viewer);
});

test("a rule without an effect is named: an unknown action, or fields that no action has together", () => {
  const problem = (rule: Policy["rules"][number]) => policyProblem(policy("p", rule));
  expect(problem({ effect: "allow", actions: ["config:read", "config:raed"] })?.field).toBe("/rules/0/actions/1");
  expect(problem({ effect: "allow", actions: ["config:*"], on: { lock: ["a"] } })?.field).toBe("/rules/0/on");
  expect(problem({ effect: "deny", actions: ["*"], on: { namespace: ["a"], lock: ["a"] } })).toBeUndefined();
});

test("built-in policies are valid, and an operator has every action but the receipt of secrets", () => {
  for (const one of BUILT_IN_POLICIES) expect(policyProblem(one)).toBeUndefined();
  const operator = builtInRights(["operator"]);
  expect(ACTION_NAMES.filter((action) => !operator.allows(action, {}))).toEqual(["config:secrets"]);
});
