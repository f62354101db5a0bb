/**
 * Secrets through the API: which callers read what, how a set round-trips without revealing its secrets, and what is
 * refused.
 */
import { expect, test } from "vitest";
import { gatewayReleaseCheck } from "#gateway/config-text";
import { eventually, type TestControl, testHost, withControl } from "#test/kit";
import { CANARY, heldKeys, key, MASK, PATH, publish, secret, SET, tokensOf, valuesOf } from "./secrets-kit.ts";

const KEYS = () => heldKeys(key("k1", 1));
const text = (value: string) => ({ format: "text", value });
const release = (control: TestControl, version: number) => control.call("GET", `${PATH}/releases/${version}`);
const hashOf = async (control: TestControl, version: number) => (await release(control, version)).json["hash"];

test("only the role agent receives secrets; all other roles see a mask", async () => {
  await using control = await withControl({ secretKeys: KEYS() });
  const tokens = await tokensOf(control);
  await publish(control, { password: secret(CANARY), host: text("db") });
  const told: Record<string, unknown> = {};
  for (const [role, headers] of Object.entries(tokens)) {
    const { json, headers: answered } = await control.call("GET", PATH, undefined, headers);
    told[role] = [valuesOf(json)["password"], answered["cache-control"]];
  }
  const masked = [MASK, "no-cache"];
  expect(told).toEqual({ operator: masked, editor: masked, viewer: masked, agent: [CANARY, "no-store"] });
});

test("the ETag of a masked config does not match the config in the clear", async () => {
  await using control = await withControl({ secretKeys: KEYS() });
  const { agent, viewer } = await tokensOf(control);
  await publish(control, { password: secret(CANARY) });
  const tags = await Promise.all(
    [agent, viewer].map(async (one) => (await control.call("GET", PATH, undefined, one)).headers["etag"]),
  );
  expect(tags[0]).not.toBe(tags[1]);
  const ask = (headers: object, tag: unknown) =>
    control.call("GET", PATH, undefined, { ...headers, "if-none-match": String(tag) });
  expect([await ask(agent, tags[0]), await ask(viewer, tags[1])].map(({ status }) => status)).toEqual([304, 304]);
  expect(valuesOf((await ask(agent, tags[1])).json)).toEqual({ password: CANARY });
});

test("the role agent can read a single secret; other roles are refused with the name of the missing permission", async () => {
  await using control = await withControl({ secretKeys: KEYS() });
  const { agent, operator } = await tokensOf(control);
  await publish(control, { password: secret(CANARY) });
  const url = `${PATH}/keys/password`;
  const plain = await control.app.inject({ url, headers: agent });
  expect([plain.payload, plain.headers["cache-control"]]).toEqual([CANARY, "no-store"]);
  const refused = await control.call("GET", url, undefined, operator);
  expect(refused).toMatchObject({ status: 403, json: { code: "HTTP_FORBIDDEN", action: "config:secrets" } });
});

test("a release that was read can be published unchanged, and changing another key leaves the secret as it is stored", async () => {
  await using control = await withControl({ secretKeys: KEYS() });
  const { agent } = await tokensOf(control);
  await publish(control, { password: secret(CANARY), host: text("db") });
  const { items } = (await release(control, 1)).json as { items: Record<string, object> };
  expect(items["password"]).toEqual(secret(MASK));
  await publish(control, items);
  expect(await hashOf(control, 2)).toBe(await hashOf(control, 1));
  await publish(control, { ...items, host: text("other") });
  expect(valuesOf((await control.call("GET", PATH, undefined, agent)).json)).toEqual({
    password: CANARY,
    host: "other",
  });
});

test("publishing a secret's current value in the clear changes nothing, another value does", async () => {
  await using control = await withControl({ secretKeys: KEYS() });
  for (const value of [CANARY, CANARY, "other"]) await publish(control, { password: secret(value) });
  const hashes = [await hashOf(control, 1), await hashOf(control, 2), await hashOf(control, 3)];
  expect(hashes[1]).toBe(hashes[0]);
  expect(hashes[2]).not.toBe(hashes[0]);
});

test("equal secrets of two sets have hashes that do not tell", async () => {
  await using control = await withControl({ secretKeys: KEYS() });
  const other = "/v1/config/default/billing/default";
  await publish(control, { pin: secret("1234") });
  await publish(control, { pin: secret("1234") }, other);
  const { json } = await control.call("GET", `${other}/releases/1`);
  expect(json["hash"]).not.toBe(await hashOf(control, 1));
});

test("a secret stays one when nothing is said of it, and is public only once that is said", async () => {
  await using control = await withControl({ secretKeys: KEYS() });
  await publish(control, { password: secret(CANARY) });
  await publish(control, { password: text("new one") });
  expect((await release(control, 2)).json["items"]).toEqual({ password: secret(MASK) });
  await publish(control, { password: { ...text("public"), secret: false } });
  expect((await release(control, 3)).json["items"]).toEqual({ password: text("public") });
});

test("one key is released as a secret by its own route, and stays one", async () => {
  await using control = await withControl({ secretKeys: KEYS() });
  const put = (query: string, value: string) =>
    control.app.inject({
      method: "PUT",
      url: `${PATH}/keys/password${query}`,
      headers: { authorization: `Bearer ${control.token}`, "content-type": "text/plain" },
      payload: value,
    });
  expect((await put("?secret=true", "first")).statusCode).toBe(201);
  expect((await put("", CANARY)).statusCode).toBe(201);
  expect((await release(control, 2)).json["items"]).toEqual({ password: secret(MASK) });
});

test.each([
  ["for a missing key", { other: secret(MASK) }],
  ["for a key that is not a secret", { host: secret(MASK) }],
  ["that is not marked as secret", { host: text(MASK) }],
  ["that is marked as public", { password: { ...text(MASK), secret: false } }],
])("a mask %s is refused, and nothing is released", async (_what, items) => {
  await using control = await withControl({ secretKeys: KEYS() });
  await publish(control, { password: secret(CANARY), host: text("db") });
  const { status, json } = await control.call("POST", `${PATH}/releases`, { items });
  expect([status, json["code"]]).toEqual([422, "CONFIG_SECRET_MASKED"]);
  expect((await control.call("GET", `${PATH}/releases`)).json["releases"]).toHaveLength(1);
});

test("without a key a release with a secret is refused and names the settings", async () => {
  await using control = await withControl();
  const { status, json } = await control.call("POST", `${PATH}/releases`, { items: { password: secret(CANARY) } });
  expect([status, json["code"]]).toEqual([409, "CONFIG_SECRETS_UNCONFIGURED"]);
  expect(json["detail"]).toContain("secretKeyFile");
  const { entries } = await control.store.range({ prefix: "/config/" });
  expect(entries).toEqual([]);
});

test("a rollback brings the secret back that was", async () => {
  await using control = await withControl({ secretKeys: KEYS() });
  const { agent } = await tokensOf(control);
  await publish(control, { password: secret(CANARY) });
  await publish(control, { password: secret("worse") });
  await control.client.config.rollback(SET, { toVersion: 1 });
  await eventually(
    "the rollback is live",
    async () => valuesOf((await control.call("GET", PATH, undefined, agent)).json)["password"] === CANARY,
  );
  expect(await hashOf(control, 3)).toBe(await hashOf(control, 1));
});

test("a secret goes from a draft to a release without being shown, and a mask in a draft leaves it", async () => {
  await using control = await withControl({ secretKeys: KEYS() });
  const { agent, editor, operator } = await tokensOf(control);
  await publish(control, { password: secret("old one") });
  const draft = (body: object) => control.call("PUT", `${PATH}/drafts/password`, body, editor);
  expect((await draft({ value: CANARY })).json["item"]).toEqual(secret(MASK));
  expect((await draft({ value: MASK, secret: true })).status).toBe(200);
  const { json } = await control.call("POST", `${PATH}/proposals`, {}, editor);
  expect(json["changes"]).toEqual({ password: secret(MASK) });
  expect((await control.call("POST", `${PATH}/proposals/${String(json["id"])}/publish`, {}, operator)).status).toBe(
    201,
  );
  await eventually(
    "the release is live",
    async () => valuesOf((await control.call("GET", PATH, undefined, agent)).json)["password"] === CANARY,
  );
});

test("a draft may say that a secret is to be public", async () => {
  await using control = await withControl({ secretKeys: KEYS() });
  const { editor, operator } = await tokensOf(control);
  await publish(control, { password: secret("old one") });
  await control.call("PUT", `${PATH}/drafts/password`, { value: "open", format: "text", secret: false }, editor);
  const { json } = await control.call("POST", `${PATH}/proposals`, {}, editor);
  await control.call("POST", `${PATH}/proposals/${String(json["id"])}/publish`, {}, operator);
  expect((await release(control, 2)).json["items"]).toEqual({ password: text("open") });
});

test("a difference says that a secret changed and not how, and a draft does not tell whether its guess is right", async () => {
  await using control = await withControl({ secretKeys: KEYS() });
  const { editor } = await tokensOf(control);
  await publish(control, { password: secret(CANARY), pin: secret("1234") });
  await publish(control, { password: secret("other"), pin: secret("1234") });
  const changed = { key: "password", kind: "changed", before: secret(MASK), after: secret(MASK) };
  const { json } = await control.call("GET", `${PATH}/diff?from=1&to=2`);
  expect(json["differences"]).toEqual([changed]);
  await control.call("PUT", `${PATH}/drafts/pin`, { value: "1234", format: "text" }, editor);
  const guess = await control.call("GET", `${PATH}/diff?to=drafts`, undefined, editor);
  expect(guess.json["differences"]).toEqual([{ ...changed, key: "pin" }]);
});

test("a promotion keeps the secrets of the target, and is refused where it has none", async () => {
  await using control = await withControl({ secretKeys: KEYS() });
  const { agent } = await tokensOf(control);
  const prod = "/v1/config/prod/orders/default";
  await publish(control, { password: secret("of dev"), host: text("new") });
  const promote = () => control.call("POST", `${PATH}/promote`, { toNamespace: "prod" });
  expect((await promote()).json).toMatchObject({ code: "CONFIG_SECRET_MASKED" });
  await publish(control, { password: secret(CANARY), host: text("old") }, prod);
  expect((await promote()).status).toBe(201);
  await eventually(
    "the release is live",
    async () => valuesOf((await control.call("GET", prod, undefined, agent)).json)["host"] === "new",
  );
  expect(valuesOf((await control.call("GET", prod, undefined, agent)).json)).toEqual({ password: CANARY, host: "new" });
});

test("a value that a secret is filled into is a secret itself, through any number of steps", async () => {
  await using control = await withControl({ secretKeys: KEYS() });
  const { agent, viewer } = await tokensOf(control);
  await publish(control, { password: secret(CANARY) }, "/v1/config/default/shared/default");
  await publish(control, {
    url: { format: "text", value: "pg://app:${shared:password}@db", expand: true },
    "app.yaml": { format: "yaml", value: "db: ${url}\nname: orders\n", expand: true },
    plain: { format: "text", value: "${name|none}", expand: true },
  });
  expect(valuesOf((await control.call("GET", PATH, undefined, viewer)).json)).toEqual({
    url: MASK,
    "app.yaml": MASK,
    plain: "none",
  });
  expect(valuesOf((await control.call("GET", PATH, undefined, agent)).json)["url"]).toBe(`pg://app:${CANARY}@db`);
});

test.each([
  ["a placeholder", { url: { format: "text", value: "${prod/shared/default:password}", expand: true } }],
  ["an import", { "imports.yaml": { format: "yaml", value: "- prod/shared" } }],
])("a secret does not leave its namespace by %s", async (_what, items) => {
  await using control = await withControl({ secretKeys: KEYS() });
  await publish(control, { password: secret(CANARY) }, "/v1/config/prod/shared/default");
  const { status, json } = await control.call("POST", `${PATH}/releases`, { items });
  expect([status, json["code"]]).toEqual([422, "CONFIG_VALUE_INVALID"]);
  expect(json["detail"]).toContain("prod/shared/default");
});

test.each([
  ["the gateway's routes", "gateway", { "gateway.yaml": secret("routes: []", "yaml") }],
  ["a schema", "orders", { "app.yaml.schema.json": secret("{}", "json") }],
  ["imports", "orders", { "imports.yaml": secret("[]", "yaml") }],
])("%s may not be a secret", async (_what, app, items) => {
  await using control = await withControl({ secretKeys: KEYS(), releaseChecks: [gatewayReleaseCheck] });
  const answer = await control.call("POST", `/v1/config/default/${app}/default/releases`, { items });
  expect(answer).toMatchObject({ status: 422, json: { code: "CONFIG_VALUE_INVALID" } });
  expect(answer.json["detail"]).toContain("must not be a secret");
});

test("a watch in the clear and a masked watch of the same config receive different bytes", async () => {
  await using control = await withControl({ secretKeys: KEYS() });
  const tokens = await tokensOf(control);
  await publish(control, { password: secret("first") });
  const { port } = await listen(control);
  const seen = { agent: "", viewer: "", patches: "" };
  const end = new AbortController();
  const follow = async (role: keyof typeof seen, headers: object, more = "") => {
    const url = `http://127.0.0.1:${port}/v1/watch/config?namespace=default&app=orders&profile=default${more}`;
    const { body } = await fetch(url, { headers: { ...headers }, signal: end.signal });
    for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) seen[role] += Buffer.from(chunk).toString();
  };
  const follows = [
    follow("agent", tokens.agent),
    follow("viewer", tokens.viewer),
    follow("patches", tokens.viewer, "&patches=true"),
  ].map((one) => one.catch(() => {}));
  await eventually("all follow", () => Object.values(seen).every((one) => one.includes("event: synced")));
  await publish(control, { password: secret(CANARY) });
  await eventually("all watches received the delta", () =>
    Object.values(seen).every((one) => one.includes("event: delta")),
  );
  end.abort();
  await Promise.all(follows);
  expect([seen.agent.includes(CANARY), seen.viewer.includes(CANARY), seen.patches.includes(CANARY)]).toEqual([
    true,
    false,
    false,
  ]);
  expect(seen.viewer).toContain(MASK);
});

test("a secret is revealed with a reason, and it is recorded who saw it", async () => {
  const host = testHost();
  await using control = await withControl({ host, secretKeys: KEYS() });
  await publish(control, { password: secret(CANARY) });
  await publish(control, { password: secret("second") });
  const reveal = (body: object) => control.call("POST", `${PATH}/reveal`, body);
  expect((await reveal({ key: "password" })).json).toMatchObject({ code: "HTTP_INVALID" });
  expect((await reveal({ key: "password", reason: "  " })).json).toMatchObject({ code: "HTTP_INVALID" });
  expect((await reveal({ key: "other", reason: "x" })).json).toMatchObject({ code: "CONFIG_KEY_NOT_FOUND" });
  const { json, headers } = await reveal({ key: "password", version: 1, reason: "ticket 7" });
  expect(json).toEqual({ key: "password", version: 1, format: "text", value: CANARY });
  expect(headers["cache-control"]).toBe("no-store");
  await reveal({ key: "password", reason: "ticket 8" });
  const first = (await control.call("GET", "/v1/config-audit?limit=1")).json;
  const rest = (await control.call("GET", `/v1/config-audit?after=${String(first["after"])}`)).json;
  const records = [...(first["records"] as object[]), ...(rest["records"] as object[])];
  expect(records).toHaveLength(2);
  expect(records).toEqual(
    expect.arrayContaining([
      expect.objectContaining({
        action: "reveal",
        who: "operator",
        ...SET,
        version: 1,
        key: "password",
        reason: "ticket 7",
      }),
    ]),
  );
  expect(host.log.lines.filter(({ message }) => message === "a secret was revealed")).toHaveLength(2);
});

test("a secret whose reveal cannot be recorded is not revealed", async () => {
  const store = (await import("#store")).openMemoryStore(testHost());
  await using control = await withControl({
    secretKeys: KEYS(),
    store: new Proxy(store, {
      get(target, name) {
        if (name === "txn") {
          return async (request: Parameters<typeof store.txn>[0]) => {
            if (request.then?.some((op) => "key" in op && op.key.startsWith("/config/audit/")))
              throw new Error("disk full");
            return target.txn(request);
          };
        }
        const value = Reflect.get(target, name) as unknown;
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      },
    }),
  });
  await publish(control, { password: secret(CANARY) });
  const answer = await control.call("POST", `${PATH}/reveal`, { key: "password", reason: "x" });
  expect(answer.status).toBe(500);
  expect(JSON.stringify(answer)).not.toContain(CANARY);
  await store[Symbol.asyncDispose]();
});

test.each([
  ["viewer", 403],
  ["editor", 403],
  ["agent", 403],
  ["operator", 200],
] as const)("what is about keys and reveals is for operators: %s gets %d", async (role, status) => {
  await using control = await withControl({ secretKeys: KEYS() });
  const { [role]: headers } = await tokensOf(control);
  await publish(control, { password: secret(CANARY) });
  const answers = [
    await control.call("POST", `${PATH}/reveal`, { key: "password", reason: "x" }, headers),
    await control.call("GET", "/v1/config-audit", undefined, headers),
    await control.call("GET", "/v1/config-secrets", undefined, headers),
    await control.call("POST", "/v1/config-secrets/rewrap", undefined, headers),
  ];
  expect(answers.map((one) => one.status)).toEqual([status, status, status, status]);
});

async function listen(control: TestControl): Promise<{ port: number }> {
  return { port: Number(new URL(await control.app.listen({ host: "127.0.0.1", port: 0 })).port) };
}
