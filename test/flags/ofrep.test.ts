/** OFREP on the wire: every status and every shape that the protocol names, at the server and at an agent. */
import { expect, test } from "vitest";
import { createAgent } from "#agent";
import { flagsReleaseCheck, EVALUATION_BYTES_MAX } from "#flags";
import { eventually, tempFolder, testHost, withControl, type TestControl } from "#test/kit";
import { callHttp, settingsIn } from "../agent/agent-kit.ts";

const FLAGS = `flags:
  checkout:
    variants: { on: true, off: false }
    defaultVariant: off
    metadata: { owner: shop }
    rules:
      - { name: staff, when: { attribute: email, endsWith: "@example.com" }, variant: on }
      - { when: { attribute: country, equals: CH }, split: { on: 100, off: 0 } }
  limits: { variants: { low: { perMinute: 10 } }, defaultVariant: low }
  banner: { state: disabled, variants: { none: "" }, defaultVariant: none }
`;
const SET = "/v1/flags/default/orders/default";
const ONE = `${SET}/ofrep/v1/evaluate/flags/checkout`;
const BULK = `${SET}/ofrep/v1/evaluate/flags`;

async function withFlags(value = FLAGS): Promise<TestControl> {
  const control = await withControl({ releaseChecks: [flagsReleaseCheck] });
  await release(control, value);
  return control;
}

async function release(control: TestControl, value: string, profile = "default"): Promise<number> {
  const { items: _, ...published } = (
    await control.call("POST", `/v1/config/default/orders/${profile}/releases`, {
      items: { "flags.yaml": { format: "yaml", value } },
    })
  ).json;
  const revision = Number(published["revision"]);
  await eventually("the release is live", async () => {
    const { json } = await control.call("GET", `/v1/config/default/orders/${profile}`);
    return Number(json["revision"]) >= revision;
  });
  return Number(published["version"]);
}

const context = (attributes: object) => ({ context: attributes });

test("an evaluation answers key, value, reason, variant and metadata, as OFREP has them", async () => {
  await using control = await withFlags();
  const ask = async (key: string, attributes: object) => {
    const { status, json, headers } = await control.call("POST", `${BULK}/${key}`, context(attributes));
    expect([status, headers["content-type"]]).toEqual([200, "application/json; charset=utf-8"]);
    return json;
  };
  const { releaseKey } = await control.client.config.effective({
    namespace: "default",
    app: "orders",
    profile: "default",
  });
  const release = { profile: "default", version: 1, releaseKey };
  expect(await ask("checkout", { email: "ann@example.com" })).toEqual({
    key: "checkout",
    value: true,
    reason: "TARGETING_MATCH",
    variant: "on",
    metadata: { ...release, owner: "shop", rule: "staff" },
  });
  const metadata = { ...release, owner: "shop" };
  expect(await ask("checkout", {})).toEqual({
    key: "checkout",
    value: false,
    reason: "DEFAULT",
    variant: "off",
    metadata,
  });
  expect(await ask("checkout", { country: "CH", targetingKey: "u1" })).toEqual({
    key: "checkout",
    value: true,
    reason: "SPLIT",
    variant: "on",
    metadata,
  });
  expect(await ask("limits", {})).toEqual({
    key: "limits",
    value: { perMinute: 10 },
    reason: "STATIC",
    variant: "low",
    metadata: release,
  });
  expect(await ask("banner", {})).toMatchObject({ value: "", reason: "DISABLED", variant: "none" });
});

const auth = (control: TestControl) => ({ authorization: `Bearer ${control.token}` });
const plain = "/ofrep/v1/evaluate/flags/checkout";

const refusals: readonly [
  what: string,
  path: string,
  body: unknown,
  headers: object,
  status: number,
  code: string | undefined,
][] = [
  ["an unknown flag", `${BULK}/nope`, {}, {}, 404, "FLAG_NOT_FOUND"],
  ["a flag named by JavaScript", `${BULK}/__proto__`, {}, {}, 404, "FLAG_NOT_FOUND"],
  [
    "a set without a release",
    "/v1/flags/default/nobody/default/ofrep/v1/evaluate/flags/checkout",
    {},
    {},
    404,
    "FLAG_NOT_FOUND",
  ],
  [
    "all flags of a set without a release",
    "/v1/flags/default/nobody/default/ofrep/v1/evaluate/flags",
    {},
    {},
    404,
    "FLAG_NOT_FOUND",
  ],
  ["no JSON", ONE, "{", {}, 400, "PARSE_ERROR"],
  ["another content type", ONE, "a=b", { "content-type": "application/x-www-form-urlencoded" }, 415, "PARSE_ERROR"],
  ["a body that is a list", ONE, [], {}, 400, "INVALID_CONTEXT"],
  ["a context that is a text", ONE, { context: "u1" }, {}, 400, "INVALID_CONTEXT"],
  ["a context that is null", ONE, { context: null }, {}, 400, "INVALID_CONTEXT"],
  ["a targeting key that is a number", ONE, context({ targetingKey: 1 }), {}, 400, "INVALID_CONTEXT"],
  ["a prototype in the context", ONE, '{"context":{"__proto__":{"email":"x@example.com"}}}', {}, 400, "PARSE_ERROR"],
  ["a context that is too large", ONE, context({ a: "x".repeat(EVALUATION_BYTES_MAX) }), {}, 413, "INVALID_CONTEXT"],
  [
    "a context that is too deep",
    ONE,
    `{"context":{"a":${"[".repeat(30_000)}${"]".repeat(30_000)}}}`,
    {},
    400,
    "INVALID_CONTEXT",
  ],
  [
    "too deep a context for all flags",
    BULK,
    `{"context":{"a":${"[".repeat(30_000)}${"]".repeat(30_000)}}}`,
    {},
    400,
    "INVALID_CONTEXT",
  ],
  ["a split without a targeting key", ONE, context({ country: "CH" }), {}, 400, "TARGETING_KEY_MISSING"],
  ["no set", plain, {}, {}, 400, "GENERAL"],
  ["an invalid set name", plain, {}, { "x-posthouse-app": "Orders!" }, 400, "GENERAL"],
  ["no token", ONE, {}, { authorization: undefined }, 401, undefined],
  ["a wrong token", ONE, {}, { authorization: "Bearer ph_wrong" }, 401, undefined],
];

test.each(refusals)("%s is refused with OFREP's status and code", async (_what, path, body, headers, status, code) => {
  await using control = await withFlags();
  const sent = Object.entries({ ...auth(control), "content-type": "application/json", ...headers });
  const answer = await control.app.inject({
    method: "POST",
    url: path,
    headers: Object.fromEntries(sent.filter(([, value]) => value !== undefined)) as Record<string, string>,
    payload: typeof body === "string" ? body : JSON.stringify(body),
  });
  const json = JSON.parse(answer.payload) as Record<string, unknown>;
  expect([answer.statusCode, json["errorCode"]]).toEqual([status, code]);
  expect(json["errorDetails"]).toEqual(expect.stringMatching(/\w/));
  if (code === undefined) expect(answer.headers["content-type"]).toMatch("application/problem+json");
  else expect(answer.headers["content-type"]).toMatch("application/json");
  if (code !== undefined && !path.endsWith("/flags")) expect(json["key"]).toBe(path.split("/").at(-1));
});

test("a token of the role reader is enough", async () => {
  await using control = await withFlags();
  const { json } = await control.call("POST", "/v1/tokens", { name: "app", policies: ["viewer"] });
  const { status } = await control.call("POST", ONE, {}, { authorization: `Bearer ${String(json["token"])}` });
  expect(status).toBe(200);
});

test("the set may be named by headers, with namespace and profile default, and no body is an empty context", async () => {
  await using control = await withFlags();
  await release(control, "flags: { checkout: { variants: { prod: p }, defaultVariant: prod } }", "prod");
  const ask = (headers: object) => control.call("POST", plain, undefined, { ...auth(control), ...headers });
  expect((await ask({ "x-posthouse-app": "orders" })).json["variant"]).toBe("off");
  expect((await ask({ "x-posthouse-app": "orders", "x-posthouse-profile": "prod" })).json["variant"]).toBe("prod");
  expect((await ask({ "x-posthouse-app": "orders", "x-posthouse-namespace": "other" })).status).toBe(404);
});

test("all flags at once have an ETag that names release and context, and 304 when no answer is another", async () => {
  await using control = await withFlags();
  const ask = (attributes: object, etag?: string) =>
    control.call("POST", BULK, context(attributes), {
      ...auth(control),
      ...(etag === undefined ? {} : { "if-none-match": etag }),
    });
  const first = await ask({ targetingKey: "u1", country: "FR" });
  const flags = first.json["flags"] as Record<string, unknown>[];
  expect(flags.map(({ key, reason }) => [key, reason])).toEqual([
    ["checkout", "DEFAULT"],
    ["limits", "STATIC"],
    ["banner", "DISABLED"],
  ]);
  const etag = String(first.headers["etag"]);
  expect(etag).toMatch(/^"[0-9a-f]{32}"$/);
  for (const sent of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
    const again = await ask({ country: "FR", targetingKey: "u1" }, sent);
    expect([again.status, again.headers["etag"]]).toEqual([304, etag]);
  }
  expect((await ask({ targetingKey: "u2" }, etag)).status).toBe(200);
  await release(control, FLAGS.replace("defaultVariant: off", "defaultVariant: on"));
  const changed = await ask({ targetingKey: "u1", country: "FR" }, etag);
  expect([changed.status, changed.headers["etag"] === etag]).toEqual([200, false]);
});

test("a bulk evaluation reports the flag that has no value, beside the others", async () => {
  await using control = await withFlags();
  const { status, json } = await control.call("POST", BULK, context({ country: "CH" }));
  expect(status).toBe(200);
  const [checkout, limits] = json["flags"] as Record<string, unknown>[];
  expect(checkout).toEqual({
    key: "checkout",
    errorCode: "TARGETING_KEY_MISSING",
    errorDetails: expect.stringMatching(/split by "targetingKey"/) as string,
  });
  expect(limits).toMatchObject({ key: "limits", reason: "STATIC" });
  expect(json["metadata"]).toMatchObject({ profile: "default", version: 1 });
});

test("flags that are wrong are refused with line and column, and what was live stays", async () => {
  await using control = await withFlags();
  const wrong = FLAGS.replace("variant: on }", "variant: blue }");
  const { status, json } = await control.call("POST", "/v1/config/default/orders/default/releases", {
    items: { "flags.yaml": { format: "yaml", value: wrong } },
  });
  expect([status, json["code"]]).toEqual([422, "CONFIG_VALUE_INVALID"]);
  expect(json["problems"]).toEqual([
    {
      key: "flags.yaml",
      pointer: "/flags/checkout/rules/0/variant",
      message: 'Variant "blue" is not defined in variants.',
      line: 7,
      column: (wrong.split("\n")[6] ?? "").indexOf("blue") + 1,
    },
  ]);
  expect((await control.call("POST", ONE, context({ email: "a@example.com" }))).json["value"]).toBe(true);
});

test.each([
  [
    "text",
    { "flags.yaml": { format: "text", value: "flags: {}" } },
    "The format of a flag set must be yaml or json, not text.",
  ],
  [
    "two keys",
    { "flags.yaml": { format: "yaml", value: "flags: {}" }, "flags.json": { format: "json", value: '{"flags":{}}' } },
    "A release must have only one flag set, and it already has flags.yaml. Remove one of the two keys.",
  ],
])("a release with its flags as %s is refused", async (_what, items, message) => {
  await using control = await withFlags();
  const { status, json } = await control.call("POST", "/v1/config/default/orders/default/releases", { items });
  expect([status, (json["problems"] as { message: string }[])[0]?.message]).toEqual([422, message]);
});

test("a draft of wrong flags becomes no proposal", async () => {
  await using control = await withFlags();
  const { json } = await control.call("POST", "/v1/tokens", { name: "ann", policies: ["editor"] });
  const ann = { authorization: `Bearer ${String(json["token"])}` };
  const set = "/v1/config/default/orders/default";
  await control.call("PUT", `${set}/drafts/flags.yaml`, { value: "flags: { a: {} }" }, ann);
  const proposed = await control.call("POST", `${set}/proposals`, { reason: "x" }, ann);
  expect([proposed.status, proposed.json["code"]]).toEqual([422, "CONFIG_VALUE_INVALID"]);
});

test("a rollback turns what is evaluated back", async () => {
  await using control = await withFlags();
  const value = async () => (await control.call("POST", ONE, context({}))).json["value"];
  expect(await value()).toBe(false);
  await release(control, FLAGS.replace("defaultVariant: off", "defaultVariant: on"));
  expect(await value()).toBe(true);
  await control.call("POST", "/v1/config/default/orders/default/rollback", { toVersion: 1 });
  await eventually("it is off again", async () => (await value()) === false);
});

test("a profile's own flags override those of profile default, also under the other key", async () => {
  await using control = await withFlags();
  await control.call("POST", "/v1/config/default/orders/prod/releases", {
    items: {
      "flags.json": { format: "json", value: '{"flags":{"checkout":{"variants":{"p":1},"defaultVariant":"p"}}}' },
    },
  });
  await eventually("prod has its own", async () => {
    const { json } = await control.call("POST", "/v1/flags/default/orders/prod/ofrep/v1/evaluate/flags/checkout", {});
    return json["variant"] === "p";
  });
  expect((await control.call("POST", ONE, {})).json["variant"]).toBe("off");
});

test("evaluations are counted by reason and error code", async () => {
  await using control = await withFlags();
  await control.call("POST", ONE, {});
  await control.call("POST", `${BULK}/nope`, {});
  const { text } = await control.host.metrics.expose();
  expect(text).toMatch('posthouse_flags_evaluations_total{result="DEFAULT"} 1');
  expect(text).toMatch('posthouse_flags_evaluations_total{result="FLAG_NOT_FOUND"} 1');
});

test("an agent answers OFREP from what it knows, also when the server is gone, and says so", async () => {
  await using folder = await tempFolder();
  await using stack = new AsyncDisposableStack();
  const control = stack.use(await withFlags());
  const settings = await settingsIn(folder.path);
  const agent = stack.use(await createAgent(testHost(), { client: control.client, settings }));
  const { socket = "" } = await agent.listen();
  const ask = (key: string) =>
    callHttp<Record<string, unknown>>(socket, "POST", `${BULK}/${key}`, context({ email: "ann@example.com" }));
  const before = await ask("checkout");
  expect([before.status, before.body["value"], before.headers["x-posthouse-stale"]]).toEqual([200, true, undefined]);
  expect((await ask("nope")).status).toBe(404);
  await control[Symbol.asyncDispose]();
  await eventually("it is stale", async () => (await ask("checkout")).headers["x-posthouse-stale"] === "true");
  const after = await ask("checkout");
  expect([after.status, after.body["value"]]).toEqual([200, true]);
});

test("a page in a browser of the host does not evaluate flags at the agent", async () => {
  await using folder = await tempFolder();
  await using control = await withFlags();
  await using agent = await createAgent(testHost(), {
    client: control.client,
    settings: await settingsIn(folder.path),
  });
  const { port } = await agent.listen();
  const { status, body } = await callHttp<Record<string, unknown>>(port, "POST", ONE, {}, { host: "rebound.example" });
  expect([status, body["code"], typeof body["errorDetails"]]).toEqual([403, "AGENT_HOST_REFUSED", "string"]);
});

test("the definitions of a set are served with the release that they come from", async () => {
  await using control = await withFlags();
  const { status, json } = await control.call("GET", SET);
  expect(status).toBe(200);
  expect(json["release"]).toMatchObject({ profile: "default", version: 1 });
  expect(json["document"]).toMatchObject({
    flags: {
      checkout: { variants: { on: true, off: false }, rules: [{ name: "staff" }, { split: { on: 100, off: 0 } }] },
      banner: { state: "disabled" },
    },
  });
  expect((await control.call("GET", "/v1/flags/default/billing/default")).json["code"]).toBe("FLAGS_NOT_FOUND");
});
