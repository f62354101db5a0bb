/** Logins of devices: what a person sees and decides, what the device receives, and what is refused. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { openMemoryStore } from "#store";
import { eventually, testHost, type TestControl, withControl, within } from "#test/kit";
import { type Browser, issue, openBrowser } from "../browser.ts";
import { decide, nextAddress, poll, post, startLogin } from "./kit.ts";

let control: TestControl;
let editor: { id: string; token: string };
let browser: Browser;
beforeAll(async () => {
  control = await withControl();
  editor = await issue(control, { name: "ann", policies: ["editor"], namespaces: ["team-a"] });
  browser = await openBrowser(control, { token: editor.token });
});
afterAll(() => control?.[Symbol.asyncDispose]());

const as = (token: unknown) => ({ authorization: `Bearer ${String(token)}` });
const meWith = (token: unknown) => control.call("GET", "/v1/me", undefined, as(token));
const codeOf = async (answer: Promise<{ json: Record<string, unknown> }>) => (await answer).json["code"];

/** A device that was confirmed: its token, once the control API knows it. */
async function confirmed(by: Browser = browser) {
  const { deviceCode, userCode } = await startLogin(control);
  expect((await decide(by, userCode, true)).status).toBe(204);
  const { status, json } = await poll(control, deviceCode);
  expect([status, json["code"]]).toEqual([200, undefined]);
  await eventually("the token is known", async () => (await meWith(json["token"])).status === 200);
  return { ...(json as { token: string; tokenId: string; name: string }), deviceCode };
}

test("a device gets a token with the rights of the person, listed, and for no longer than their session", async () => {
  const { token, tokenId, name } = await confirmed();
  expect(name).toBe("ann");
  const { json } = await meWith(token);
  expect(json).toMatchObject({ name: "ann", tokenId, policies: ["editor"], limits: { namespaces: ["team-a"] } });
  const session = await browser.call("GET", "/ui/api/session");
  expect(json["expiresAt"]).toBe(session.json["expiresAt"]);
  const { json: list } = await control.call("GET", "/v1/tokens");
  const row = (list["tokens"] as { id: string }[]).find(({ id }) => id === tokenId);
  expect(row).toMatchObject({ name: "ann", signIn: "device", policies: ["editor"] });
});

test("the person sees which machine asks, from where and since when", async () => {
  const { userCode } = await startLogin(control, "build-7");
  const { status, json } = await browser.call("GET", `/v1/device-logins/${userCode}`);
  expect(status).toBe(200);
  expect(json).toMatchObject({ userCode, device: "build-7", address: expect.stringMatching(/^10\.1\./) });
  expect(Date.parse(String(json["expiresAt"])) - Date.parse(String(json["since"]))).toBe(600_000);
});

test("the device waits until the person decides, and a code is used once", async () => {
  const { deviceCode, userCode } = await startLogin(control);
  const first = await poll(control, deviceCode);
  expect([first.status, first.json["code"], first.json["error"]]).toEqual([
    400,
    "DEVICE_AUTHORIZATION_PENDING",
    "authorization_pending",
  ]);
  await decide(browser, userCode, true);
  expect(await codeOf(decide(browser, userCode, true)), "decided once").toBe("DEVICE_NOT_FOUND");
  const { deviceCode: used } = await confirmed();
  expect(await codeOf(poll(control, used)), "used once").toBe("DEVICE_EXPIRED_TOKEN");
});

test("two polls at the same moment get one token", async () => {
  await using other = await withControl({ store: control.store });
  const { deviceCode, userCode } = await startLogin(control);
  await decide(browser, userCode, true);
  const both = await Promise.all([poll(control, deviceCode), poll(other, deviceCode)]);
  expect(both.map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 400]);
});

test("a device that polls too often must slow down", async () => {
  const { deviceCode } = await startLogin(control);
  await poll(control, deviceCode);
  const { status, json } = await poll(control, deviceCode);
  expect([status, json["code"], json["error"], json["intervalSeconds"]]).toEqual([
    400,
    "DEVICE_SLOW_DOWN",
    "slow_down",
    7,
  ]);
});

test("a denied device receives nothing, and learns why", async () => {
  const { deviceCode, userCode } = await startLogin(control);
  expect((await decide(browser, userCode, false)).status).toBe(204);
  const { json } = await poll(control, deviceCode);
  expect([json["code"], json["error"]]).toEqual(["DEVICE_ACCESS_DENIED", "access_denied"]);
  expect(await codeOf(poll(control, deviceCode))).toBe("DEVICE_EXPIRED_TOKEN");
});

test("the end of the token that confirmed ends the device, and its row", async () => {
  const own = await issue(control, { name: "carl", policies: ["viewer"] });
  const { token, tokenId } = await confirmed(await openBrowser(control, { token: own.token }));
  expect((await control.call("DELETE", `/v1/tokens/${own.id}`)).status).toBe(204);
  await within(1_000, "the device is refused", async () => (await meWith(token)).status === 401);
  await eventually("its row is gone", async () => {
    return !JSON.stringify((await control.call("GET", "/v1/tokens")).json).includes(tokenId);
  });
});

test("nothing is handed out for a person who signed out meanwhile", async () => {
  const own = await issue(control, { name: "dora", policies: ["viewer"] });
  const { deviceCode, userCode } = await startLogin(control);
  await decide(await openBrowser(control, { token: own.token }), userCode, true);
  await control.call("DELETE", `/v1/tokens/${own.id}`);
  expect(await codeOf(poll(control, deviceCode))).toBe("DEVICE_ACCESS_DENIED");
});

test("only a browser decides: not a token, not another page, and not by the token of a device", async () => {
  const { deviceCode, userCode } = await startLogin(control);
  const url = `/v1/device-logins/${userCode}/decision`;
  expect(await codeOf(control.call("POST", url, { allow: true }, as(editor.token)))).toBe("DEVICE_NOT_ALLOWED");
  expect(await codeOf(control.call("POST", url, { allow: true }, {}))).toBe("HTTP_TOKEN_MISSING");
  expect(await codeOf(browser.call("POST", url, { allow: true }, { "x-posthouse-csrf": "" }))).toBe(
    "HTTP_CSRF_INVALID",
  );
  const evil = { origin: "https://evil.example", "sec-fetch-site": "cross-site" };
  expect(await codeOf(browser.call("POST", url, { allow: true }, evil))).toBe("HTTP_CROSS_ORIGIN");
  const { token } = await confirmed();
  const byDevice = await openBrowser(control, { token });
  expect(await codeOf(decide(byDevice, userCode, true))).toBe("DEVICE_NOT_ALLOWED");
  expect(await codeOf(poll(control, deviceCode))).toBe("DEVICE_AUTHORIZATION_PENDING");
});

test("wrong codes are refused, counted, and then slowed down", async () => {
  const address = nextAddress();
  const wrong = `phd_${"0".repeat(16)}_${"0".repeat(64)}`;
  const codes: unknown[] = [];
  for (let at = 0; at < 12; at++) codes.push(await codeOf(poll(control, wrong, address)));
  expect(codes.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => "DEVICE_EXPIRED_TOKEN"));
  expect(codes.at(-1)).toBe("HTTP_TOO_MANY_BAD_TOKENS");
  expect(await codeOf(browser.call("GET", "/v1/device-logins/BCDF-GHJK"))).toBe("DEVICE_NOT_FOUND");
  expect(await codeOf(browser.call("GET", "/v1/device-logins/constructor"))).toBe("HTTP_INVALID");
  const { deviceCode } = await startLogin(control);
  const other = `${deviceCode.slice(0, -1)}${deviceCode.endsWith("0") ? "1" : "0"}`;
  expect(await codeOf(poll(control, other))).toBe("DEVICE_EXPIRED_TOKEN");
});

test("an address starts twenty logins in ten minutes", async () => {
  const address = nextAddress();
  const codes: unknown[] = [];
  for (let at = 0; at < 21; at++)
    codes.push(await codeOf(post(control, "/v1/device-logins", { device: "a" }, address)));
  expect(codes).toEqual([...Array.from({ length: 20 }, () => undefined), "DEVICE_TOO_MANY"]);
});

test("names of devices are plain, since a person reads them", async () => {
  for (const device of ["", "<b>", "a\nb", "x".repeat(129), 7]) {
    expect(await codeOf(post(control, "/v1/device-logins", { device })), String(device)).toBe("HTTP_INVALID");
  }
});

test("the store has neither code, and forgets a login after its end", async () => {
  const { deviceCode, userCode } = await startLogin(control);
  const { entries } = await control.store.range({ prefix: "/access/device-logins/" });
  const stored = entries.map(({ key, value }) => `${key} ${Buffer.from(value).toString()}`).join("\n");
  expect(entries.length).toBeGreaterThan(0);
  expect(entries.every(({ lease }) => lease !== undefined && lease !== "")).toBe(true);
  expect(stored).not.toContain(userCode);
  expect(stored).not.toContain(deviceCode.split("_")[2]);
});

test("a device signs out by itself, and an issued token cannot be ended that way", async () => {
  const { token } = await confirmed();
  expect((await control.call("DELETE", "/v1/me/token", undefined, as(token))).status).toBe(204);
  await eventually("it is over", async () => (await meWith(token)).status === 401);
  expect(await codeOf(control.call("DELETE", "/v1/me/token", undefined, as(editor.token)))).toBe("DEVICE_NOT_A_LOGIN");
});

test("start, decision and poll may each reach another member", async () => {
  const host = testHost();
  await using store = openMemoryStore(host);
  await using first = await withControl({ store });
  await using second = await withControl({ store });
  await using third = await withControl({ store });
  const { deviceCode, userCode } = await startLogin(first);
  const own = await issue(second, { name: "ann", policies: ["viewer"] });
  const page = await openBrowser(second, { token: own.token });
  expect((await decide(page, userCode, true)).status).toBe(204);
  const { json } = await poll(third, deviceCode);
  await eventually("the first member knows the token", async () => {
    return (await first.call("GET", "/v1/me", undefined, as(json["token"]))).status === 200;
  });
});
