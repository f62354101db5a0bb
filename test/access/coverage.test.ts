/** A caller hands out no right that it lacks: the comparison of rules, checked against decisions on many resources. */
import { describe, expect, test } from "vitest";
import {
  ACTION_NAMES,
  type Action,
  actionRow,
  builtInRights,
  BUILT_IN_POLICIES,
  matchesGlob,
  type Policy,
  type Resource,
  Rights,
} from "#authorization";
import { limitsFor, type Limits, outsideLimit, type Principal } from "#http";
import { type Grant, globsMeet, missingRight } from "../../kernel/access/core/coverage.ts";
import { narrowedPolicy } from "../../kernel/access/core/narrowed-policy.ts";
import { seededRandom } from "#base";

const builtIn = (name: string): Policy => BUILT_IN_POLICIES.find((policy) => policy.name === name) as Policy;
const policy = (rules: Policy["rules"]): Policy => ({ name: "own", rules });
const allow = (actions: string[], on?: Policy["rules"][number]["on"]) => ({
  effect: "allow" as const,
  actions,
  ...(on === undefined ? {} : { on }),
});
const deny = (...args: Parameters<typeof allow>) => ({ ...allow(...args), effect: "deny" as const });
const missing = (own: Grant, given: Grant) => missingRight(own, given, limitsFor)?.action;

const of = (rules: Policy["rules"], limits?: Limits): Grant => ({ policies: [policy(rules)], limits });

test("an operator hands out every built-in policy, and no other policy suffices for that of an operator", () => {
  const operator = { policies: [builtIn("operator")] };
  for (const one of BUILT_IN_POLICIES) {
    expect(missing(operator, { policies: [one] })).toBeUndefined();
    if (one.name !== "operator") expect(missing({ policies: [one] }, operator)).toBeDefined();
  }
});

describe("one right", () => {
  const read = ["config:read"];
  const cases: readonly [string, Grant, Grant, Action | undefined][] = [
    ["the same", of([allow(read)]), of([allow(read)]), undefined],
    ["another action", of([allow(read)]), of([allow(["config:publish"])]), "config:publish"],
    ["a part", of([allow(read)]), of([allow(read, { app: ["orders"] })]), undefined],
    ["more than a part", of([allow(read, { app: ["orders"] })]), of([allow(read)]), "config:read"],
    [
      "within a glob",
      of([allow(read, { app: ["team-*"] })]),
      of([allow(read, { app: ["team-a", "team-b-*"] })]),
      undefined,
    ],
    ["a wider glob", of([allow(read, { app: ["team-*"] })]), of([allow(read, { app: ["te*"] })]), "config:read"],
    ["one of two values", of([allow(read, { app: ["a"] })]), of([allow(read, { app: ["a", "b"] })]), "config:read"],
    ["within limits", of([allow(read)], { namespaces: ["a"] }), of([allow(read)], { namespaces: ["a"] }), undefined],
    ["beyond limits", of([allow(read)], { namespaces: ["a"] }), of([allow(read)]), "config:read"],
    ["limits as rules", of([allow(read, { namespace: ["a"] })]), of([allow(read)], { namespaces: ["a"] }), undefined],
    ["rules as limits", of([allow(read)], { namespaces: ["a"] }), of([allow(read, { namespace: ["a"] })]), undefined],
    ["nothing, by limits", of([allow(["locks:read"])]), of([allow(read)], { apps: [] }), undefined],
    ["what is denied", of([allow(read), deny(read, { app: ["pay"] })]), of([allow(read)]), "config:read"],
    [
      "beside what is denied",
      of([allow(read), deny(read, { app: ["pay"] })]),
      of([allow(read, { app: ["a*"] })]),
      undefined,
    ],
    [
      "denied in the same way",
      of([allow(read), deny(read, { app: ["pay"] })]),
      of([allow(read), deny(read, { app: ["pa*"] })]),
      undefined,
    ],
    ["receiving what it may reveal", of([allow(["config:reveal"])]), of([allow(["config:secrets"])]), undefined],
    ["revealing what it receives", of([allow(["config:secrets"])]), of([allow(["config:reveal"])]), "config:reveal"],
  ];
  test.each(cases)("%s", (_name, own, given, action) => expect(missing(own, given)).toBe(action));
});

test("two globs meet as trying every short text says", () => {
  const parts = ["", "a", "b", "*"];
  const globs = parts.flatMap((one) => parts.flatMap((two) => parts.map((three) => one + two + three)));
  const texts = ["", "a", "b", "aa", "ab", "ba", "bb", "aab", "aba", "abb", "baa", "bab", "bba", "aaa", "bbb"];
  texts.push(...texts.flatMap((one) => texts.map((two) => one + two)));
  for (const a of globs) {
    for (const b of globs) {
      const found = texts.some((text) => matchesGlob(a, text) && matchesGlob(b, text));
      expect(`${a}|${b} ${globsMeet(a, b)}`).toBe(`${a}|${b} ${found}`);
    }
  }
});

/** Random rules over few names, so that they meet often. */
const random = seededRandom(13);
const pick = <T>(items: readonly T[]): T => items[Math.floor(random.float() * items.length)] as T;
const GLOBS = ["*", "a", "b", "a*", "*b", "ab"];
const NAMES = [undefined, "a", "b", "ab", "c"];
const ACTIONS: readonly Action[] = ["config:read", "registry:write", "locks:write", "access:manage", "config:secrets"];
function randomGrant(): Grant {
  const rules = Array.from({ length: 1 + Math.floor(random.float() * 3) }, () => {
    const on = Object.fromEntries(
      (["namespace", "app"] as const).flatMap((field) => (random.float() < 0.4 ? [[field, [pick(GLOBS)]]] : [])),
    );
    return {
      effect: random.float() < 0.25 ? "deny" : "allow",
      actions: [pick([...ACTIONS, "*"])],
      ...(Object.keys(on).length > 0 ? { on } : {}),
    };
  }) as Policy["rules"];
  const limits: Limits | undefined =
    random.float() < 0.4 ? { namespaces: [pick(["a", "b", "*"])], apps: [pick(["a", "ab"])] } : undefined;
  return of(rules, limits);
}
const compiled = new WeakMap<readonly Policy[], Rights>();
function allowed({ policies, limits }: Grant, action: Action, given: Resource): boolean {
  const resource = Object.fromEntries(actionRow(action).fields.map((field) => [field, given[field]]));
  const principal = { limits, rights: builtInRights([]) } as unknown as Principal;
  const isWithin = outsideLimit(principal, action, resource, "every") === undefined;
  const rights = compiled.get(policies) ?? new Rights(["own"], policies);
  compiled.set(policies, rights);
  return isWithin && rights.allows(action, resource);
}
const RESOURCES = NAMES.flatMap((namespace) => NAMES.map((app) => ({ namespace, app, service: app })));

test("whatever is handed out, nothing is allowed that the author is not allowed", () => {
  let handedOut = 0;
  for (let round = 0; round < 3_000; round++) {
    const [own, given] = [randomGrant(), randomGrant()];
    if (missing(own, given) !== undefined) continue;
    handedOut++;
    for (const action of ACTIONS) {
      // The limits of apps grant secrets, and every process reads its own config.
      if (action === "config:secrets") continue;
      for (const resource of RESOURCES) {
        const exceeds = allowed(given, action, resource) && !allowed(own, action, resource);
        if (exceeds) expect({ own, given, action, resource }).toBe("nothing more");
      }
    }
  }
  expect(handedOut).toBeGreaterThan(200);
});

test("a policy narrowed by limits allows what the policy allows within the limits", () => {
  for (let round = 0; round < 200; round++) {
    const { policies, limits = { namespaces: ["a"] } } = randomGrant();
    const narrowed = policies.map((one) => narrowedPolicy(one, limits, limitsFor));
    for (const action of ACTION_NAMES) {
      for (const resource of RESOURCES) {
        const [want, got] = [
          allowed({ policies, limits }, action, resource),
          allowed({ policies: narrowed }, action, resource),
        ];
        if (want !== got) expect({ policies, limits, action, resource, got }).toBe(want);
      }
    }
  }
});
