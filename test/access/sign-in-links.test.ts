/** Links that sign in once: for the caller only, for ten minutes, and once even in a race. */
import { expect, test } from "vitest";
import { ManualClock, testHost, withControl } from "#test/kit";
import { browserWith, issue, openBrowser, signIn } from "./browser.ts";

const LINKS = "/v1/sign-in-links";
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

test("a link signs in as its caller, once", async () => {
  await using control = await withControl();
  const { token } = await issue(control, { name: "ann", policies: ["editor"], namespaces: ["dev"] });
  const link = await control.call("POST", LINKS, undefined, bearer(token));
  expect([link.status, link.headers["cache-control"]]).toEqual([201, "no-store"]);
  const code = String(link.json["code"]);
  expect(link.json["path"]).toBe(`/ui/#/signin?code=${code}`);
  const browser = await openBrowser(control, { code });
  expect(browser.answer.json).toMatchObject({ name: "ann", policies: ["editor"], limits: { namespaces: ["dev"] } });
  expect((await browser.call("GET", "/v1/me")).json).toMatchObject({ name: "ann", policies: ["editor"] });
  expect(await signIn(control, { code })).toMatchObject({ status: 401, json: { code: "ACCESS_CODE_INVALID" } });
});

test("of thirty browsers that use a link at once, on two members, one is signed in", { timeout: 60_000 }, async () => {
  await using one = await withControl();
  await using two = await withControl({ store: one.store });
  for (let round = 0; round < 5; round++) {
    const code = String((await one.call("POST", LINKS)).json["code"]);
    const uses = Array.from({ length: 30 }, (_, i) => signIn(i % 2 === 0 ? one : two, { code }));
    const answers = await Promise.all(uses);
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    const others = answers.filter(({ status }) => status !== 201).map(({ json }) => String(json["code"]));
    expect(others.filter((code) => !["ACCESS_CODE_INVALID", "HTTP_TOO_MANY_BAD_TOKENS"].includes(code))).toEqual([]);
  }
  const { entries } = await one.store.range({ prefix: "/access/sign-ins/" });
  const { sessions } = JSON.parse(Buffer.from(entries[0]?.value ?? []).toString()) as { sessions: unknown[] };
  expect(sessions).toHaveLength(5);
});

test("a link lasts ten minutes, and not longer than its token", async () => {
  const clock = new ManualClock();
  await using control = await withControl({ host: testHost({ clock }) });
  const { json } = await control.call("POST", LINKS);
  expect(Date.parse(String(json["expiresAt"]))).toBe(clock.now() + 600_000);
  const short = await issue(control, { name: "short", policies: ["viewer"], ttlSeconds: 60 });
  const ending = (await control.call("POST", LINKS, undefined, bearer(short.token))).json;
  expect(Date.parse(String(ending["expiresAt"]))).toBe(clock.now() + 60_000);
  const revoked = await issue(control, { name: "revoked", policies: ["viewer"] });
  const orphan = (await control.call("POST", LINKS, undefined, bearer(revoked.token))).json;
  await control.call("DELETE", `/v1/tokens/${revoked.id}`);
  expect((await signIn(control, { code: orphan["code"] })).json["code"]).toBe("ACCESS_CODE_INVALID");
  await clock.advance(60_000);
  expect((await signIn(control, { code: ending["code"] })).json["code"]).toBe("ACCESS_CODE_INVALID");
  await clock.advance(539_999);
  expect((await signIn(control, { code: json["code"] })).status).toBe(201);
  const late = (await control.call("POST", LINKS)).json;
  await clock.advance(600_000);
  expect((await signIn(control, { code: late["code"] })).json["code"]).toBe("ACCESS_CODE_INVALID");
});

test("a session cannot make links, and the sixth unused link ends the first", async () => {
  await using control = await withControl();
  const browser = await openBrowser(control, { token: control.token });
  expect((await browser.call("POST", LINKS)).json["code"]).toBe("ACCESS_LINK_NOT_ALLOWED");
  const codes = [];
  for (let i = 0; i < 6; i++) codes.push(String((await control.call("POST", LINKS)).json["code"]));
  const statuses = [];
  for (const code of codes) statuses.push((await signIn(control, { code })).status);
  expect(statuses).toEqual([401, 201, 201, 201, 201, 201]);
});

test("a wrong code is refused, also one with the id of another token", async () => {
  await using control = await withControl();
  const { id } = await issue(control, { name: "a", policies: ["viewer"] });
  const code = String((await control.call("POST", LINKS)).json["code"]);
  const secret = code.split("_")[1] ?? "";
  for (const wrong of ["x", secret, `${id}_${secret}`, `${code}0`, code.toUpperCase(), `../tokens/${code}`]) {
    expect((await signIn(control, { code: wrong })).json["code"], wrong).toBe("ACCESS_CODE_INVALID");
  }
  expect((await signIn(control, { code })).status).toBe(201);
});

test("the link of a start signs in as an operator that is listed and can be revoked", async () => {
  await using control = await withControl();
  const first = await control.access.consoleLink();
  const second = await control.access.consoleLink();
  const browser = await openBrowser(control, { code: first.code });
  expect(browser.answer.json).toMatchObject({ name: "console", policies: ["operator"] });
  const list = async () => {
    const { tokens } = (await control.call("GET", "/v1/tokens")).json as { tokens: { id: string; name: string }[] };
    return tokens.filter(({ name }) => name === "console");
  };
  const [token, ...more] = await list();
  expect([token?.id, more]).toEqual(["c0c0c0c0c0c0c0c0", []]);
  expect((await control.call("DELETE", `/v1/tokens/${token?.id}`)).status).toBe(204);
  await expect.poll(async () => (await browser.call("GET", "/ui/api/session")).status).toBe(401);
  expect((await signIn(control, { code: second.code })).json["code"]).toBe("ACCESS_CODE_INVALID");
  // The next start makes it again, and no earlier sign-in returns.
  const { code } = await control.access.consoleLink();
  await expect.poll(list).toHaveLength(1);
  expect((await browserWith(control, browser.answer).call("GET", "/ui/api/session")).status).toBe(401);
  await openBrowser(control, { code });
});
