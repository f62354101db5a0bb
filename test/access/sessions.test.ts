/** Sessions of browsers: what signs in, what a session can do, and what ends it. */
import { expect, test } from "vitest";
import { openMemoryStore, type Store } from "#store";
import { ManualClock, testHost, withControl } from "#test/kit";
import { type Browser, browserWith, cookieOf, issue, openBrowser, SAME_ORIGIN, signIn } from "./browser.ts";

const SESSION = "/ui/api/session";
const HOUR_MS = 3_600_000;

test("a token signs a browser in, and the session reads and writes as the token does, until it signs out", async () => {
  await using control = await withControl();
  const browser = await openBrowser(control, { token: control.token });
  expect(browser.answer.headers["set-cookie"]).toMatch(
    /^posthouse_session=[0-9a-f]{16}\.[0-9a-f]{64}; Path=\/; Max-Age=4\d{4}; HttpOnly; SameSite=Strict$/,
  );
  expect(browser.answer.headers["cache-control"]).toBe("no-store");
  expect(browser.answer.json).toMatchObject({ name: "operator", policies: ["operator"] });
  expect(browser.answer.json["actions"]).toContain("config:publish");
  const { json } = await browser.call("GET", SESSION);
  expect(json).toEqual(browser.answer.json);
  expect((await browser.call("GET", "/v1/me")).json).toMatchObject({ name: "operator", expiresAt: json["expiresAt"] });
  expect((await browser.call("POST", "/v1/tokens", { name: "a", policies: ["viewer"] })).status).toBe(201);
  const out = await browser.call("DELETE", SESSION);
  expect([out.status, String(out.headers["set-cookie"])]).toEqual([204, expect.stringContaining("Max-Age=0")]);
  await expect.poll(async () => (await browser.call("GET", SESSION)).json["code"]).toBe("HTTP_SESSION_INVALID");
  expect(String((await browser.call("GET", "/v1/services")).headers["set-cookie"])).toContain("Max-Age=0");
});

test("the store has neither the cookie, nor the csrf token, nor the code", async () => {
  await using control = await withControl();
  const { cookie, csrf } = await openBrowser(control, { token: control.token });
  const { json } = await control.call("POST", "/v1/sign-in-links");
  const { entries } = await control.store.range({ prefix: "" });
  const text = entries.map(({ value }) => Buffer.from(value).toString("utf8")).join("\n");
  expect(text).toContain('"sessions"');
  for (const secret of [cookie.split(".")[1], csrf, String(json["code"]).split("_")[1]]) {
    expect(secret).toMatch(/^[0-9a-f]{32,64}$/);
    expect(text).not.toContain(secret);
  }
});

test("over TLS the cookie is secure and has the __Host- prefix, and wins over a planted one", async () => {
  await using control = await withControl({ hostNames: ["console.example"] });
  const headers = { host: "console.example", origin: "https://console.example", "sec-fetch-site": "same-origin" };
  const answer = await signIn(control, { token: control.token }, headers);
  expect(answer.headers["set-cookie"]).toMatch(/^__Host-posthouse_session=\S+; Path=\/; .*; Secure$/);
  const cookie = `posthouse_session=${"0".repeat(16)}.${"0".repeat(64)}; ${cookieOf(answer)}`;
  expect((await control.call("GET", SESSION, undefined, { ...headers, cookie })).status).toBe(200);
});

test("a session is limited as its token is, and a bearer token wins over it", async () => {
  await using control = await withControl();
  const limits = { apps: ["orders"], namespaces: ["default"] };
  const { token } = await issue(control, { name: "h", policies: ["agent"], ...limits });
  const browser = await openBrowser(control, { token });
  expect(browser.answer.json).toMatchObject({ name: "h", policies: ["agent"], limits });
  expect(browser.answer.json["actions"]).not.toContain("access:manage");
  expect((await browser.call("GET", "/v1/services?namespace=prod")).json).toMatchObject({ code: "HTTP_FORBIDDEN" });
  expect((await browser.call("GET", "/v1/tokens")).json).toMatchObject({ code: "HTTP_FORBIDDEN" });
  const both = { authorization: `Bearer ${control.token}` };
  expect((await browser.call("GET", "/v1/tokens", undefined, both)).status).toBe(200);
  expect((await browser.call("GET", "/v1/me", undefined, both)).json).toMatchObject({ name: "operator" });
  expect((await browser.call("GET", SESSION, undefined, both)).status).toBe(401);
  expect((await browser.call("GET", "/v1/me", undefined, { authorization: "Bearer x" })).status).toBe(401);
});

/** A wall clock that jumps. Timers need not fire on the way, because a session's end is compared and not awaited. */
class JumpingClock extends ManualClock {
  jumpedMs = 0;

  override now(): number {
    return super.now() + this.jumpedMs;
  }
}

test("a session lasts twelve hours, however often it is used", async () => {
  const clock = new JumpingClock();
  await using control = await withControl({ host: testHost({ clock }) });
  const browser = await openBrowser(control, { token: control.token });
  expect(Date.parse(String(browser.answer.json["expiresAt"]))).toBe(clock.now() + 12 * HOUR_MS);
  for (let hour = 1; hour < 12; hour++) {
    clock.jumpedMs += HOUR_MS;
    expect((await browser.call("GET", SESSION)).status).toBe(200);
  }
  clock.jumpedMs += HOUR_MS;
  // It does not count as a bad token: a browser that was left open asks again and again.
  for (let i = 0; i < 20; i++) {
    expect((await browser.call("GET", SESSION)).json).toMatchObject({ code: "HTTP_SESSION_EXPIRED" });
  }
});

test("a session ends with its token: when it expires, and at once when it is revoked", async () => {
  const clock = new ManualClock();
  await using control = await withControl({ host: testHost({ clock }) });
  const short = await issue(control, { name: "short", policies: ["viewer"], ttlSeconds: 60 });
  const browser = await openBrowser(control, { token: short.token });
  expect(browser.answer.headers["set-cookie"]).toContain("Max-Age=60;");
  await clock.advance(61_000);
  expect((await browser.call("GET", SESSION)).json).toMatchObject({ code: "HTTP_SESSION_EXPIRED" });
  expect((await signIn(control, { token: short.token })).json).toMatchObject({ code: "HTTP_TOKEN_EXPIRED" });

  const revoked = await issue(control, { name: "revoked", policies: ["viewer"] });
  const other = await openBrowser(control, { token: revoked.token });
  await control.call("DELETE", `/v1/tokens/${revoked.id}`);
  await expect.poll(async () => (await other.call("GET", SESSION)).json["code"]).toBe("HTTP_SESSION_INVALID");
  const { entries } = await control.store.range({ prefix: "/access/sign-ins/" });
  expect(entries.map(({ key }) => key)).not.toContain(`/access/sign-ins/${revoked.id}`);
});

test("sign-ins of a token that was made again under the same id are not those of the token before", async () => {
  await using control = await withControl();
  const { id, token } = await issue(control, { name: "a", policies: ["viewer"] });
  const browser = await openBrowser(control, { token });
  const key = `/access/tokens/${id}`;
  const { entries } = await control.store.range({ key });
  const record = JSON.parse(Buffer.from(entries[0]?.value ?? []).toString()) as object;
  const other = Buffer.from(JSON.stringify({ ...record, sha256: "0".repeat(64) }));
  await control.store.txn({ then: [{ type: "put", key, value: other }] });
  await expect.poll(async () => (await browser.call("GET", SESSION)).status).toBe(401);
});

test("every member accepts a session at once, and the oldest of more than twenty ends", async () => {
  await using one = await withControl();
  await using two = await withControl({ store: one.store });
  const browsers: Browser[] = [];
  for (let i = 0; i < 21; i++) {
    const { answer } = await openBrowser(one, { token: one.token });
    const browser = browserWith(two, answer);
    expect((await browser.call("GET", SESSION)).status).toBe(200);
    browsers.push(browser);
  }
  await expect.poll(async () => (await browsers[0]?.call("GET", SESSION))?.status).toBe(401);
  for (const browser of browsers.slice(1)) expect((await browser.call("GET", SESSION)).status).toBe(200);
  const { entries } = await one.store.range({ prefix: "/access/sign-ins/" });
  expect(entries).toHaveLength(1);
  expect(entries[0]?.value.length).toBeLessThan(4096);
});

test("many browsers that sign in with one token at once are all signed in", async () => {
  await using control = await withControl();
  const answers = await Promise.all(Array.from({ length: 8 }, () => signIn(control, { token: control.token })));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 201));
  for (const answer of answers) expect((await browserWith(control, answer).call("GET", SESSION)).status).toBe(200);
});

test("what is neither a token nor a session does not sign in, and counts as a bad token", async () => {
  await using control = await withControl();
  const zero = `${"0".repeat(16)}.${"0".repeat(64)}`;
  expect((await signIn(control, { token: "ph_x" })).json).toMatchObject({ code: "HTTP_TOKEN_INVALID" });
  expect((await signIn(control, {})).status).toBe(400);
  expect((await signIn(control, { token: control.token, code: "x" })).status).toBe(400);
  expect((await control.call("GET", SESSION, undefined, SAME_ORIGIN)).json).toMatchObject({
    code: "HTTP_TOKEN_MISSING",
  });
  for (const value of ["", "x", zero, `${zero}0`, "../../x"]) {
    const cookie = `posthouse_session=${value}`;
    const { json } = await control.call("GET", SESSION, undefined, { ...SAME_ORIGIN, cookie });
    expect(json, value).toMatchObject({ code: "HTTP_SESSION_INVALID" });
  }
  let last = "";
  for (let i = 0; i < 10; i++) {
    last = String((await signIn(control, { code: `${"0".repeat(16)}_${"0".repeat(32)}` })).json["code"]);
  }
  expect(last).toBe("HTTP_TOO_MANY_BAD_TOKENS");
  // A good one is never slowed.
  expect((await signIn(control, { token: control.token })).status).toBe(201);
});

test("GET /v1/me tells any caller what it may do", async () => {
  const clock = new ManualClock();
  await using control = await withControl({ host: testHost({ clock }) });
  const { token, id } = await issue(control, { name: "ci", policies: ["gateway"], ttlSeconds: 60 });
  const answer = await control.call("GET", "/v1/me", undefined, { authorization: `Bearer ${token}` });
  expect(answer.headers["cache-control"]).toBe("no-store");
  expect(answer.json).toEqual({
    name: "ci",
    tokenId: id,
    policies: ["gateway"],
    actions: expect.arrayContaining(["config:acknowledge", "quotas:lease"]) as string[],
    limits: { apps: ["gateway"] },
    rights: [expect.stringMatching(/^rule 1 of the policy gateway allows .*quotas:lease/)],
    expiresAt: new Date(clock.now() + 60_000).toISOString(),
  });
  const { actions, rights, ...operator } = (await control.call("GET", "/v1/me")).json;
  expect(operator).toEqual({ name: "operator", policies: ["operator"], tokenId: control.token.split("_")[1] });
  expect(actions).not.toContain("config:secrets");
  expect(rights).toEqual([expect.stringMatching(/^rule 1 of the policy operator allows /)]);
  expect((await control.call("GET", "/v1/me", undefined, {})).status).toBe(401);
});

test("the list of tokens counts the browsers that are signed in", async () => {
  await using control = await withControl();
  const { token, id } = await issue(control, { name: "ann", policies: ["editor"] });
  const browsersOf = async () => {
    const { tokens } = (await control.call("GET", "/v1/tokens")).json as {
      tokens: { id: string; browsers?: number }[];
    };
    return tokens.find((one) => one.id === id)?.browsers;
  };
  expect(await browsersOf()).toBeUndefined();
  const browser = await openBrowser(control, { token });
  await openBrowser(control, { token });
  await expect.poll(browsersOf).toBe(2);
  await browser.call("DELETE", SESSION);
  await expect.poll(browsersOf).toBe(1);
});

test("callers that are still unknown have at most sixteen store transactions at once", async () => {
  const host = testHost();
  await using memory = openMemoryStore(host);
  const gate = Promise.withResolvers<void>();
  let isSlow = false;
  let open = 0;
  const store = {
    ...methodsOf(memory),
    async txn(request: Parameters<Store["txn"]>[0]) {
      open += 1;
      if (isSlow) await gate.promise;
      open -= 1;
      return memory.txn(request);
    },
  };
  await using control = await withControl({ host, store });
  const good = await openBrowser(control, { token: control.token });
  await expect.poll(async () => (await good.call("GET", SESSION)).status).toBe(200);
  isSlow = true;
  open = 0;
  const unknown = Array.from({ length: 40 }, (_, i) =>
    i % 2 === 0
      ? signIn(control, { code: `${"0".repeat(16)}_${"0".repeat(32)}` })
      : browserWith(control, good.answer).call("GET", SESSION, undefined, {
          cookie: `posthouse_session=${"0".repeat(16)}.${"0".repeat(64)}`,
        }),
  );
  const early: unknown[] = [];
  for (const answer of unknown) void answer.then(({ json }) => early.push(json["code"]));
  await expect.poll(() => early.length).toBe(24);
  expect([open, new Set(early)]).toEqual([16, new Set(["HTTP_UNAVAILABLE"])]);
  // A known session needs no read.
  expect((await good.call("GET", SESSION)).status).toBe(200);
  gate.resolve();
  await Promise.all(unknown);
});

/** A store whose methods can be replaced one by one. */
function methodsOf(store: Store): Store {
  return {
    range: (request) => store.range(request),
    txn: (request) => store.txn(request),
    watch: (request) => store.watch(request),
    grant: (seconds) => store.grant(seconds),
    keepAlive: (lease) => store.keepAlive(lease),
    revoke: (lease) => store.revoke(lease),
    compact: (through) => store.compact(through),
    status: () => store.status(),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}
