/** Stored policies and bindings: what is refused and why, which rights a caller cannot hand out, and the way in that stays open. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type AnyCall, as, callerWith } from "./as.ts";
import { eventually, type TestControl, withControl } from "#test/kit";

let control: TestControl;
beforeAll(async () => {
  control = await withControl();
});
afterAll(() => control?.[Symbol.asyncDispose]());

const call: AnyCall = (...request) => control.call(...request);
const READ = { rules: [{ effect: "allow", actions: ["config:read"], on: { app: ["orders"] } }] };
const put = (name: string, body: unknown = READ, headers: Record<string, string> = {}) =>
  control.call("PUT", `/v1/policies/${name}`, body, { authorization: `Bearer ${control.token}`, ...headers });
const codeOf = async (answer: ReturnType<AnyCall>) => {
  const { status, json } = await answer;
  return `${status} ${String(json["code"])}`;
};

test("a policy is created, read, changed under its revision, and deleted when it has no users", async () => {
  const made = await put("orders-team", { description: "The team.", ...READ }, { "if-none-match": "*" });
  expect(made).toMatchObject({ status: 200, json: { name: "orders-team", builtIn: false, usedBy: [] } });
  const { json, headers } = await call("GET", "/v1/policies/orders-team");
  expect(json).toEqual(made.json);
  expect(headers["etag"]).toBe(`"${String(made.json["revision"])}"`);
  expect(await codeOf(put("orders-team", READ, { "if-none-match": "*" }))).toBe("412 ACCESS_CHANGED");
  expect(await codeOf(put("orders-team", READ, { "if-match": '"1"' }))).toBe("412 ACCESS_CHANGED");
  expect((await put("orders-team", READ, { "if-match": String(headers["etag"]) })).status).toBe(200);
  const bob = await as(control, { name: "bob", policies: ["orders-team"] });
  expect(bob.summary).toMatchObject({ policies: ["orders-team"] });
  const inUse = await call("DELETE", "/v1/policies/orders-team");
  expect(inUse).toMatchObject({ status: 409, json: { code: "ACCESS_POLICY_IN_USE" } });
  expect(inUse.json["usedBy"]).toEqual([`token bob (${bob.id})`]);
  const list = (await call("GET", "/v1/policies")).json["policies"] as { name: string; usedBy: string[] }[];
  expect(list.map(({ name }) => name)).toEqual([
    "operator",
    "publisher",
    "editor",
    "viewer",
    "gateway",
    "agent",
    "service",
    "orders-team",
  ]);
  await call("DELETE", `/v1/tokens/${bob.id}`);
  expect((await call("DELETE", "/v1/policies/orders-team")).status).toBe(204);
  expect(await codeOf(call("GET", "/v1/policies/orders-team"))).toBe("404 ACCESS_POLICY_NOT_FOUND");
});

describe("a refusal names the rule, the field and what to do", () => {
  const rule = (over: object) => ({ rules: [READ.rules[0], { effect: "allow", actions: ["config:read"], ...over }] });
  const cases: readonly [string, string, object, number, string, RegExp][] = [
    [
      "unknown action",
      "p",
      rule({ actions: ["config:red"] }),
      400,
      "ACCESS_POLICY_INVALID",
      /^Rule 2: .*Did you mean "config:read"/,
    ],
    ["a field that no action has", "p", rule({ on: { lock: ["a"] } }), 400, "ACCESS_POLICY_INVALID", /^Rule 2: /],
    ["unknown effect", "p", rule({ effect: "permit" }), 400, "HTTP_INVALID", /rules\/1\/effect/],
    ["unknown field", "p", rule({ on: { namespce: ["a"] } }), 400, "HTTP_INVALID", /did you mean "namespace"/],
    ["no rules", "p", { rules: [] }, 400, "HTTP_INVALID", /rules/],
    ["a name that is not valid", "Orders", READ, 400, "HTTP_INVALID", /name/],
    ["a built-in one", "agent", READ, 409, "ACCESS_POLICY_BUILT_IN", /posthouse policy copy agent my-agent/],
  ];
  test.each(cases)("%s", async (_what, name, body, status, code, detail) => {
    const { status: found, json } = await put(name, body);
    expect([found, json["code"]]).toEqual([status, code]);
    expect(`${String(json["detail"])} ${String(json["field"])}`).toMatch(detail);
  });

  test("a token of an unknown policy", async () => {
    const { status, json } = await call("POST", "/v1/tokens", { name: "x", policies: ["editr"] });
    expect([status, json["code"]]).toEqual([404, "ACCESS_POLICY_NOT_FOUND"]);
    expect(json["detail"]).toContain('Did you mean "editor"?');
  });
});

test("a changed policy takes effect for those who have it, at once", async () => {
  await put("changing");
  const holder = await as(control, { name: "holder", policies: ["changing"] });
  const asked = "/v1/acl/check?action=config:read&app=orders";
  expect((await holder.call("GET", asked)).json).toMatchObject({
    allowed: true,
    rule: { policy: "changing", index: 1 },
  });
  await put("changing", { rules: [{ effect: "deny", actions: ["config:*"] }, ...READ.rules] });
  await eventually("the change is known", async () => (await holder.call("GET", asked)).json["allowed"] === false);
  expect((await holder.call("GET", asked)).json).toMatchObject({
    rule: { policy: "changing", index: 1, effect: "deny" },
    why: expect.stringMatching(/rule 1 of the policy changing denies/i),
  });
});

test("the last way in cannot be closed, whichever way it is tried", async () => {
  await using own = await withControl();
  const { tokens } = (await own.call("GET", "/v1/tokens")).json as { tokens: { id: string }[] };
  const operator = String(tokens[0]?.id);
  const revoke = (id: string) => own.call("DELETE", `/v1/tokens/${id}`);
  // Neither an end, nor limits, nor a link that a start prints, keep the way in.
  await own.call("POST", "/v1/tokens", { name: "short", policies: ["operator"], ttlSeconds: 3600 });
  await own.access.consoleLink();
  expect(await revoke(operator)).toMatchObject({ status: 409, json: { code: "ACCESS_LOCKOUT" } });
  await own.call("PUT", "/v1/policies/admin", { rules: [{ effect: "allow", actions: ["access:*"] }] });
  const admin = await own.call("POST", "/v1/tokens", { name: "admin", policies: ["admin"] });
  expect((await revoke(operator)).status).toBe(204);
  const as = { authorization: `Bearer ${String(admin.json["token"])}` };
  const change = (rules: unknown[]) => own.call("PUT", "/v1/policies/admin", { rules }, as);
  const manage = { effect: "allow", actions: ["access:manage"] };
  for (const rules of [
    [{ effect: "allow", actions: ["config:read"] }],
    [manage, { effect: "deny", actions: ["access:*"] }],
    [manage, { effect: "deny", actions: ["*"] }],
  ]) {
    expect(await codeOf(change(rules))).toMatch(/^409 ACCESS_LOCKOUT|^403 ACCESS_EXCEEDS_OWN/);
  }
  expect((await change([manage])).status).toBe(200);
});

test("of two operators that revoke each other at once, on two members, one stays", async () => {
  await using one = await withControl();
  await using two = await withControl({ store: one.store });
  const a = await as(one, { name: "a", policies: ["operator"] });
  const b = await callerWith(two, (await one.call("POST", "/v1/tokens", { name: "b", policies: ["operator"] })).json);
  const first = one.access.tokens.list("test").find(({ name }) => name === "operator");
  expect((await a.call("DELETE", `/v1/tokens/${String(first?.id)}`)).status).toBe(204);
  const ends = await Promise.all([a.call("DELETE", `/v1/tokens/${b.id}`), b.call("DELETE", `/v1/tokens/${a.id}`)]);
  const codes = ends.map(({ status, json }) => `${status} ${String(json["code"])}`).toSorted();
  expect(codes).toEqual(["204 undefined", "409 ACCESS_LOCKOUT"]);
});

describe("a caller hands out no right that it lacks", () => {
  let team: Awaited<ReturnType<typeof as>>;
  beforeAll(async () => {
    await put("team-admin", {
      rules: [
        {
          effect: "allow",
          actions: ["registry:*", "config:read", "config:reveal", "config:acknowledge", "locks:*", "access:*"],
        },
        { effect: "allow", actions: ["traffic:report", "identity:*"] },
      ],
    });
    team = await as(control, { name: "team", policies: ["team-admin"], namespaces: ["team-a"] });
  });

  test("not by a token, unless it is within its own rights", async () => {
    const issue = (body: object) => codeOf(team.call("POST", "/v1/tokens", { name: "new", ...body }));
    expect(await issue({ policies: ["agent"], namespaces: ["team-a"], apps: ["*"] })).toBe("201 undefined");
    for (const body of [
      { policies: ["operator"] },
      { policies: ["agent"] },
      { policies: ["agent"], namespaces: ["team-a", "team-b"] },
      { policies: ["team-admin"] },
      { policies: ["publisher"], namespaces: ["team-a"] },
    ]) {
      expect([body, await issue(body)]).toEqual([body, "403 ACCESS_EXCEEDS_OWN"]);
    }
  });

  test("not by a node that joins", async () => {
    await put("node-admin", { rules: [{ effect: "allow", actions: ["identity:*", "registry:*"] }] });
    const admin = await as(control, { name: "nodes", policies: ["node-admin"] });
    const join = await admin.call("POST", "/v1/join-tokens", { kind: "agent", apps: ["pay"] });
    expect([join.status, join.json["code"]]).toEqual([403, "ACCESS_EXCEEDS_OWN"]);
  });

  test("not by a policy, a binding, or somebody else's token", async () => {
    await put("shared", {
      rules: [
        { effect: "allow", actions: ["config:read"] },
        { effect: "deny", actions: ["config:reveal"] },
      ],
    });
    const other = await as(control, { name: "other", policies: ["shared", "operator"] });
    const allow = (actions: string[], on?: object) => ({
      rules: [{ effect: "allow", actions, ...(on ? { on } : {}) }],
    });
    const attempts = [
      team.call("PUT", "/v1/policies/mine", allow(["config:publish"])),
      team.call("PUT", "/v1/policies/mine", allow(["config:read"])),
      team.call("PUT", "/v1/policies/shared", allow(["config:read"], { namespace: ["team-a"] })),
      team.call("DELETE", "/v1/policies/shared"),
      team.call("PUT", "/v1/bindings/group:x", { policies: ["viewer"] }),
      team.call("PUT", "/v1/bindings/group:x", { policies: ["operator"], namespaces: ["team-a"] }),
      team.call("POST", `/v1/tokens/${other.id}/rotations`, {}),
      team.call("DELETE", `/v1/tokens/${other.id}`),
    ];
    expect(await Promise.all(attempts.map(codeOf))).toEqual(attempts.map(() => "403 ACCESS_EXCEEDS_OWN"));
    expect(
      (await team.call("PUT", "/v1/policies/mine", allow(["config:read"], { namespace: ["team-a"] }))).status,
    ).toBe(200);
    // A rule that denies something to a holder with more rights than its own stays, although the policy itself is within its own.
    const teamA = { namespace: ["team-a"] };
    await put("ours", {
      rules: [
        { effect: "allow", actions: ["config:read"], on: teamA },
        { effect: "deny", actions: ["config:reveal"], on: teamA },
      ],
    });
    await as(control, { name: "held", policies: ["ours", "publisher"] });
    expect(await codeOf(team.call("PUT", "/v1/policies/ours", allow(["config:read"], teamA)))).toBe(
      "403 ACCESS_EXCEEDS_OWN",
    );
    // It sees the tokens that it may manage, and no other.
    const { tokens } = (await team.call("GET", "/v1/tokens")).json as { tokens: { name: string }[] };
    expect(tokens.map(({ name }) => name).toSorted()).toEqual(["new", "team"]);
  });
});

describe("bindings", () => {
  const bind = (subject: string, body: object, headers: Record<string, string> = {}) =>
    control.call("PUT", `/v1/bindings/${encodeURIComponent(subject)}`, body, {
      authorization: `Bearer ${control.token}`,
      ...headers,
    });

  test("are set, listed and deleted, for names as the identity provider writes them", async () => {
    const subject = "group:Büro/开发 & Co@example.com";
    const made = await bind(subject, { policies: ["viewer"], namespaces: ["prod"] });
    expect(made).toMatchObject({
      status: 200,
      json: { subject, policies: ["viewer"], namespaces: ["prod"], changedBy: "operator" },
    });
    await eventually("it is listed", async () => {
      const { bindings } = (await call("GET", "/v1/bindings")).json as { bindings: { subject: string }[] };
      return bindings.some((one) => one.subject === subject);
    });
    expect(await codeOf(bind(subject, { policies: ["viewer"] }, { "if-match": '"1"' }))).toBe("412 ACCESS_CHANGED");
    expect(await codeOf(bind("team:x", { policies: ["viewer"] }))).toBe("400 HTTP_INVALID");
    expect(await codeOf(bind("group:x", { policies: ["vewer"] }))).toBe("404 ACCESS_POLICY_NOT_FOUND");
    expect((await call("DELETE", `/v1/bindings/${encodeURIComponent(subject)}`)).status).toBe(204);
    expect(await codeOf(call("DELETE", "/v1/bindings/group:gone"))).toBe("404 ACCESS_BINDING_NOT_FOUND");
  });

  test("grant together: each policy within the limits of its own binding", async () => {
    await bind("group:readers", { policies: ["viewer"] });
    await bind("group:orders", { policies: ["publisher"], namespaces: ["prod"], apps: ["orders"] });
    await bind("user:ann", { policies: ["viewer"], namespaces: ["prod"] });
    const ask = async (query: string) => (await call("GET", `/v1/acl/check?${query}`)).json;
    const both = "user=bob&groups=readers,orders";
    await eventually("they are known", async () => (await ask(`action=config:read&${both}`))["allowed"] === true);
    expect(await ask(`action=config:publish&namespace=prod&app=orders&${both}`)).toMatchObject({ allowed: true });
    expect(await ask(`action=config:publish&namespace=prod&app=pay&${both}`)).toMatchObject({ allowed: false });
    expect(await ask(`action=config:publish&namespace=dev&app=orders&${both}`)).toMatchObject({ allowed: false });
    expect(await ask("action=config:read&namespace=dev&user=ann")).toMatchObject({
      allowed: false,
      limit: "namespaces",
    });
    expect(await ask("action=config:read&user=nobody")).toMatchObject({ allowed: false, policies: [] });
    // A binding that ends takes its part away.
    await call("DELETE", "/v1/bindings/group:orders");
    await eventually("it is gone", async () => {
      return (await ask(`action=config:publish&namespace=prod&app=orders&${both}`))["allowed"] === false;
    });
  });
});
