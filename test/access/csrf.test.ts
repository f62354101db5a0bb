/** Requests that a page of another origin makes with the session of a browser: rejected, whatever the browser reveals about them. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestControl, withControl } from "#test/kit";
import { type Browser, openBrowser, ORIGIN, signIn } from "./browser.ts";

let control: TestControl;
let browser: Browser;
beforeAll(async () => {
  control = await withControl({ hostNames: ["console.example"] });
  browser = await openBrowser(control, { token: control.token });
});
afterAll(() => control?.[Symbol.asyncDispose]());

const HOST = "127.0.0.1:8500";
const ALLOWED = undefined;
const CSRF = "HTTP_CSRF_INVALID";
const CROSS = "HTTP_CROSS_ORIGIN";

/** The headers about the origin; the error of a GET; that of a POST without a CSRF token; that of a POST with one. */
const MATRIX: readonly [Record<string, string>, string | undefined, string | undefined, string | undefined][] = [
  [{ host: HOST }, ALLOWED, CSRF, ALLOWED],
  [{ host: HOST, origin: ORIGIN }, ALLOWED, CSRF, ALLOWED],
  [{ host: HOST, "sec-fetch-site": "same-origin" }, ALLOWED, CSRF, ALLOWED],
  [{ host: HOST, origin: ORIGIN, "sec-fetch-site": "same-origin" }, ALLOWED, CSRF, ALLOWED],
  // The address was typed.
  [{ host: HOST, "sec-fetch-site": "none" }, ALLOWED, CROSS, CROSS],
  // A link of another site; a page of another port of this host.
  [{ host: HOST, "sec-fetch-site": "cross-site" }, CROSS, CROSS, CROSS],
  [{ host: HOST, "sec-fetch-site": "same-site" }, CROSS, CROSS, CROSS],
  [{ host: HOST, "sec-fetch-site": "" }, CROSS, CROSS, CROSS],
  [{ host: HOST, origin: "http://127.0.0.1:8080" }, CROSS, CROSS, CROSS],
  [{ host: HOST, origin: "http://127.0.0.1" }, CROSS, CROSS, CROSS],
  [{ host: HOST, origin: "https://evil.example", "sec-fetch-site": "cross-site" }, CROSS, CROSS, CROSS],
  [{ host: HOST, origin: `${ORIGIN}.evil.example` }, CROSS, CROSS, CROSS],
  [{ host: HOST, origin: "null" }, CROSS, CROSS, CROSS],
  [{ host: HOST, origin: "null", "sec-fetch-site": "same-origin" }, CROSS, CROSS, CROSS],
  [{ host: HOST, origin: "" }, CROSS, CROSS, CROSS],
  [{ host: HOST, origin: "file://" }, CROSS, CROSS, CROSS],
  // A proxy ends TLS and keeps the Host header, with or without the port of the scheme.
  [{ host: "console.example", origin: "https://console.example" }, ALLOWED, CSRF, ALLOWED],
  [{ host: "console.example:443", origin: "https://console.example" }, ALLOWED, CSRF, ALLOWED],
  [{ host: "CONSOLE.example", origin: "https://console.example" }, ALLOWED, CSRF, ALLOWED],
  [{ host: "127.0.0.1:8500", origin: "https://console.example" }, CROSS, CROSS, CROSS],
];

test.each(MATRIX)("with %j: GET %s, POST %s, POST with the CSRF token %s", async (headers, read, write, withToken) => {
  const { cookie, csrf } = browser;
  const code = async (method: string, url: string, more: Record<string, string>) => {
    const body = method === "GET" ? undefined : {};
    const { status, json } = await control.call(method, url, body, { cookie, ...headers, ...more });
    // A request that is let in ends with 400, since the body has nothing that the route needs.
    return status === 403
      ? json["code"]
      : [200, 400].includes(status)
        ? undefined
        : `${status} ${String(json["code"])}`;
  };
  expect(await code("GET", "/v1/tokens", {})).toBe(read);
  expect(await code("POST", "/v1/tokens", {})).toBe(write);
  expect(await code("POST", "/v1/tokens", { "x-posthouse-csrf": csrf })).toBe(withToken);
});

test.each(["POST", "PUT", "PATCH", "DELETE"])("%s needs the CSRF token of its own session", async (method) => {
  const other = await openBrowser(control, { token: control.token });
  const url =
    { POST: "/v1/tokens", PUT: "/v1/locks/a", DELETE: `/v1/tokens/${"0".repeat(16)}` }[method] ?? "/v1/tokens";
  const body = method === "DELETE" ? undefined : {};
  const withToken = (csrf: string) => browser.call(method, url, body, { "x-posthouse-csrf": csrf });
  const isRoute = method !== "PATCH";
  for (const csrf of ["", "x", other.csrf, browser.csrf.toUpperCase(), browser.csrf.slice(1), "é".repeat(32)]) {
    expect((await withToken(csrf)).json["code"], csrf).toBe(isRoute ? CSRF : "HTTP_METHOD_NOT_ALLOWED");
  }
  expect((await withToken(browser.csrf)).status).not.toBe(403);
});

test("a token needs no CSRF token and no origin, but a page of another origin changes nothing with it", async () => {
  const headers = { authorization: `Bearer ${control.token}`, host: HOST };
  const issue = (more: Record<string, string>) =>
    control.call("POST", "/v1/tokens", { name: "a", policies: ["viewer"] }, { ...headers, ...more });
  expect((await issue({})).status).toBe(201);
  expect((await issue({ origin: `http://${HOST}` })).status).toBe(201);
  for (const foreign of [{ origin: "https://evil.example" }, { "sec-fetch-site": "cross-site" }, { origin: "null" }]) {
    expect((await issue(foreign as Record<string, string>)).json["code"]).toBe(CROSS);
  }
});

test("a page of another origin cannot sign a browser in, and does not learn whether a session exists", async () => {
  const foreign: Record<string, string>[] = [{ origin: "https://evil.example" }, { "sec-fetch-site": "same-site" }];
  for (const headers of foreign) {
    const given = { host: HOST, ...headers };
    expect((await signIn(control, { token: control.token }, given)).json["code"]).toBe(CROSS);
    const unknown = { ...given, cookie: `posthouse_session=${"0".repeat(16)}.${"0".repeat(64)}` };
    const answer = await control.call("GET", "/v1/me", undefined, unknown);
    expect([answer.json["code"], answer.headers["set-cookie"]]).toEqual([CROSS, undefined]);
  }
});

test("no response of the API allows another origin to read it", async () => {
  for (const method of ["GET", "OPTIONS"]) {
    const { headers } = await browser.call(method, "/v1/me", undefined, { origin: "https://evil.example" });
    expect(Object.keys(headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
  }
});
