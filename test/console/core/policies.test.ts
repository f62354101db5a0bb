/** Policies as the console shows and reads them, and questions about rights. */
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { ACTIONS, BUILT_IN_POLICIES } from "#authorization";
import { ACTION_FIELDS, actionsOf } from "../../../console/pages/access/actions.ts";
import { checkPath, checkCommand, isAskable, questionFrom } from "../../../console/pages/access/check-core.ts";
import { joinCommand, joinRequest, joinState, joinWords } from "../../../console/pages/access/join-core.ts";
import { PolicyTextError, policyYaml, readPolicyYaml } from "../../../console/pages/access/policy-yaml.ts";

test("the console knows the actions of the server, with their fields", () => {
  expect(ACTION_FIELDS).toEqual(
    Object.fromEntries(Object.entries(ACTIONS).map(([name, { fields }]) => [name, fields])),
  );
});

test("a glob covers the actions that it matches", () => {
  expect(actionsOf("locks:*")).toEqual(["locks:read", "locks:write", "locks:break"]);
  expect(actionsOf("*:manage")).toEqual(["access:manage", "identity:manage"]);
  expect(actionsOf("config:read")).toEqual(["config:read"]);
  expect(actionsOf("config.read")).toEqual([]);
});

describe("the YAML of a policy", () => {
  test.each(BUILT_IN_POLICIES.map((policy) => [policy.name, policy] as const))("%s", (_name, policy) => {
    const { description, rules } = policy;
    expect(parse(policyYaml(policy))).toEqual({ description, rules });
    expect(asPlain(readPolicyYaml(policyYaml(policy)))).toEqual({ description, rules });
  });

  test.each([
    'description: "a # b" # c\nrules:\n- effect: allow\n  actions:\n    - config:read\n    - "config:*"\n',
    "rules:\n  - { effect: deny, actions: [ \"registry:*\" ], on: { service: [a, 'b''c'] } }\n",
    "rules:\n  -\n    effect: allow\n    actions: [a,\n      b, # why\n      c]\n",
    "# nothing\n",
    "rules: []\n",
    "---\nrules:\n    - effect: allow\n      on:\n          key: [\"public/*\", 'x: y']\n",
  ])("reads what YAML reads: %j", (text) => {
    expect(asPlain(readPolicyYaml(text))).toEqual(parse(text) ?? {});
  });

  test.each([
    [1, "\trules: []"],
    [3, "rules:\n  - effect allow\n    actions: [a]"],
    [2, "rules: []\nrules: []"],
    [1, "rules: [a, b"],
    [2, "rules:\n  - *anchor"],
    [1, "rules:"],
    [3, "rules:\n    - effect: allow\n  - effect: deny"],
    [1, 'description: "open'],
  ])("says that line %i cannot be read: %j", (line, text) => {
    let found: unknown;
    try {
      found = readPolicyYaml(text);
    } catch (error) {
      if (!(error instanceof PolicyTextError)) throw error;
      found = error.line;
    }
    expect(found).toBe(line);
  });
});

/** Maps without a prototype as plain ones. */
function asPlain(tree: unknown): unknown {
  return JSON.parse(JSON.stringify(tree));
}

describe("a question about rights", () => {
  const question = questionFrom({
    who: "person",
    user: "ann",
    groups: "devs, ops",
    action: "config:publish",
    namespace: "prod",
    app: "orders",
    lock: "left from another action",
  });
  test("becomes the call and the command, with the fields of its action only", () => {
    expect(checkPath(question)).toBe(
      "/v1/acl/check?action=config%3Apublish&namespace=prod&app=orders&user=ann&groups=devs%2Cops",
    );
    expect(checkCommand(question)).toBe(
      "posthouse acl test config:publish --namespace prod --app orders --user ann --group devs ops",
    );
  });

  test("is asked once it names somebody and an action", () => {
    expect(isAskable(question)).toBe(true);
    expect(isAskable(questionFrom({ action: "locks:read" }))).toBe(true);
    expect(isAskable(questionFrom({ who: "person", action: "locks:read" }))).toBe(false);
    expect(isAskable(questionFrom({ who: "token", token: "x", action: "locks:read" }))).toBe(false);
    expect(isAskable(questionFrom({ who: "policies", policies: "viewer" }))).toBe(false);
    expect(questionFrom({ action: "toString" }).action).toBeUndefined();
  });
});

describe("a join token", () => {
  const draft = {
    name: " web-1 ",
    limits: { namespaces: "", apps: "orders, stock", services: "orders" },
    ttlSeconds: 1800,
  } as const;
  test("becomes the request and its command", () => {
    const request = joinRequest(draft);
    expect(request).toEqual({
      kind: "agent",
      name: "web-1",
      apps: ["orders", "stock"],
      services: ["orders"],
      ttlSeconds: 1800,
    });
    expect(joinWords(request)).toBe(
      "posthouse join-token create --kind agent --name web-1 --apps orders stock --services orders --ttl-seconds 1800",
    );
    expect(joinRequest({ ...draft, name: "" })).not.toHaveProperty("name");
  });

  test("gives the complete command of the machine", () => {
    const command = { origin: "https://plane.example:8500", token: "phj_a_b_c" };
    expect(joinCommand({ ...command, name: "web-1" })).toBe(
      "posthouse agent join https://plane.example:8500 --join-token phj_a_b_c --name web-1",
    );
    expect(joinCommand({ ...command, origin: "http://127.0.0.1:8500", name: undefined })).toBe(
      "posthouse agent join https://127.0.0.1:8500 --join-token phj_a_b_c",
    );
  });

  test("is open until it is used or ends", () => {
    const token = { id: "a", kind: "agent", createdAt: "", expiresAt: "2026-01-01T00:00:00Z", by: "operator" } as const;
    const end = Date.parse(token.expiresAt);
    expect(joinState(token, end - 1)).toBe("open");
    expect(joinState(token, end)).toBe("expired");
    expect(joinState({ ...token, used: { at: "", name: "web-1" } }, end)).toBe("used");
  });
});
