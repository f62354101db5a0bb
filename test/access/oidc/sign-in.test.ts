/** Sign-in of people by OpenID Connect, against a real provider: what a person may do, until when, and what is refused. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { eventually, testHost, withControl, within } from "#test/kit";
import { openMemoryStore } from "#store";
import {
  begin,
  bind,
  CALLBACK,
  comeBack,
  me,
  oidcSettings,
  type OidcSite,
  PUBLIC_URL,
  signInPerson,
  startOidcSite,
  unbind,
} from "./kit.ts";
import { signInAtProvider } from "./person-at-provider.ts";

let site: OidcSite;
beforeAll(async () => {
  site = await startOidcSite({
    people: {
      ann: { groups: ["team-a", "everybody"] },
      bob: { groups: ["everybody"] },
      eve: { groups: ["<b>strangers</b>"] },
      operator: { groups: ["team-a"], claims: { email_verified: false } },
    },
  });
  await bind(site.control, "group:team-a", { policies: ["editor"], namespaces: ["team-a"] });
});
afterAll(() => site?.[Symbol.asyncDispose]());
beforeEach(() => void (site.provider.intercept = undefined));

test("the sign-in page learns whether there is a provider", async () => {
  const { json } = await site.control.call("GET", "/ui/api/sign-in-methods", undefined, {});
  expect(json).toEqual({ token: true, oidc: { issuer: site.provider.issuer, path: "/ui/api/oidc/start" } });
  await using plain = await withControl();
  expect((await plain.call("GET", "/ui/api/sign-in-methods", undefined, {})).json).toEqual({ token: true });
  expect((await plain.call("GET", "/ui/api/oidc/start", undefined, {})).json["code"]).toBe("OIDC_NOT_SET_UP");
});

test("a person has the policies and limits of a group, and one row in the list of tokens until the sign-out", async () => {
  const { status, location, session, cookies } = await signInPerson(site.control, "ann");
  expect([status, location]).toEqual([302, "/ui/"]);
  expect(cookies.find((one) => one.startsWith("posthouse_session="))).toMatch(
    /; Path=\/; Max-Age=3\d{3}; HttpOnly; SameSite=Strict$/,
  );
  const { json } = await me(site.control, session);
  expect(json).toMatchObject({ name: "ann@example.com", policies: ["editor"], limits: { namespaces: ["team-a"] } });
  const own = async () => {
    const { json: list } = await site.control.call("GET", "/v1/tokens");
    return (list["tokens"] as { id: string; name: string; signIn?: string; browsers?: number }[]).filter(
      ({ id }) => id === json["tokenId"],
    );
  };
  expect(await own()).toMatchObject([{ name: "ann@example.com", signIn: "browser", browsers: 1 }]);
  const csrf = String((await browserCall("GET", "/ui/api/session", session)).json["csrf"]);
  expect((await browserCall("DELETE", "/ui/api/session", session, csrf)).status).toBe(204);
  await eventually("the row is gone", async () => (await own()).length === 0);
});

function browserCall(method: string, url: string, session: string | undefined, csrf?: string) {
  return site.control.call(method, url, undefined, {
    cookie: session ?? "",
    host: new URL(PUBLIC_URL).host,
    "sec-fetch-site": "same-origin",
    ...(csrf === undefined ? {} : { "x-posthouse-csrf": csrf }),
  });
}

test("revoking the row ends the session", async () => {
  const { session } = await signInPerson(site.control, "ann");
  const { tokenId } = (await me(site.control, session)).json;
  expect((await site.control.call("DELETE", `/v1/tokens/${String(tokenId)}`)).status).toBe(204);
  await within(1_000, "the session is over", async () => (await me(site.control, session)).status === 401);
});

test("a person without a binding is refused with names and what to do, as a page whose names are escaped", async () => {
  const { status, json, session } = await signInPerson(site.control, "eve");
  expect([status, json["code"], session]).toEqual([403, "OIDC_NOT_BOUND", undefined]);
  expect(json).toMatchObject({ user: "eve@example.com", groups: ["<b>strangers</b>"] });
  const { location, cookie } = await begin(site.control);
  const answer = await signInAtProvider(location, "eve");
  const page = await site.control.app.inject({
    url: `${answer.pathname}${answer.search}`,
    headers: { host: new URL(PUBLIC_URL).host, accept: "text/html", cookie },
  });
  expect(page.statusCode).toBe(403);
  expect(page.headers["content-type"]).toMatch(/^text\/html/);
  expect(page.payload).toContain("&lt;b&gt;strangers&lt;/b&gt;");
  expect(page.payload).toContain('posthouse binding set "user:eve@example.com" --policy viewer');
  expect(page.payload).toContain('<a href="/ui/">');
});

test("a change of bindings takes effect at once, and the last one that goes ends the sign-in for good", async () => {
  const { control } = site;
  await bind(control, "user:bob@example.com", { policies: ["viewer"] });
  const { session } = await signInPerson(control, "bob");
  expect((await me(control, session)).json["policies"]).toEqual(["viewer"]);
  await bind(control, "group:everybody", { policies: ["publisher"] });
  expect([...((await me(control, session)).json["policies"] as string[])].sort()).toEqual(["publisher", "viewer"]);
  await unbind(control, "group:everybody");
  await within(1_000, "it has only its own policy", async () => {
    return JSON.stringify((await me(control, session)).json["policies"]) === '["viewer"]';
  });
  await unbind(control, "user:bob@example.com");
  await within(1_000, "it is signed out", async () => (await me(control, session)).status === 401);
  await eventually("its row is gone", async () => {
    const { json } = await control.call("GET", "/v1/tokens");
    return !JSON.stringify(json).includes("bob@example.com");
  });
  await bind(control, "user:bob@example.com", { policies: ["viewer"] });
  expect((await me(control, session)).status).toBe(401);
});

test("a person named like a token does not own what the token owns", async () => {
  const { control } = site;
  await bind(control, "user:operator", { policies: ["operator"] });
  const { session } = await signInPerson(control, "operator");
  expect((await me(control, session)).json).toMatchObject({ name: "operator" });
  const browser = await control.access.signIns.authenticate(String(session).split("=", 2)[1] ?? "");
  expect(browser.principal).toMatchObject({ id: "user:operator", kind: "person" });
  await unbind(control, "user:operator");
});

test("an answer counts in the browser that began, once, and as it was sealed", async () => {
  const { control } = site;
  const { location, cookie } = await begin(control);
  const answer = await signInAtProvider(location, "ann");
  const codeWith = async (given: string, to = answer) => (await comeBack(control, to, given)).json["code"];
  // Another browser: that of a victim, who would be signed in as the attacker.
  expect(await codeWith("")).toBe("OIDC_STATE_INVALID");
  const other = await begin(control);
  const renamed = `${cookie.split("=", 1)[0]}=${other.cookie.split("=", 2)[1]}`;
  expect(await codeWith(renamed)).toBe("OIDC_STATE_INVALID");
  const [name = "", value = ""] = cookie.split(/=(.*)/s);
  for (const at of [0, 20, 40, value.length - 2]) {
    const tampered = `${name}=${value.slice(0, at)}${value[at] === "A" ? "B" : "A"}${value.slice(at + 1)}`;
    expect(await codeWith(tampered), `byte ${at}`).toBe("OIDC_STATE_INVALID");
  }
  expect(await codeWith(`${name}=`)).toBe("OIDC_STATE_INVALID");
  const twice = new URL(answer);
  twice.searchParams.append("state", "x");
  expect(await codeWith(cookie, twice)).toBe("OIDC_STATE_INVALID");
  const good = await comeBack(control, answer, cookie);
  expect(good.session).toBeDefined();
  expect(good.cookies.find((one) => one.startsWith(name))).toMatch(
    /=; Path=\/ui\/api\/oidc\/; Max-Age=0; HttpOnly; SameSite=Lax$/,
  );
  expect(["OIDC_REFUSED", "OIDC_STATE_INVALID"]).toContain(await codeWith(cookie));
});

test("an address that comes back with many bad answers must wait", async () => {
  const { location } = await begin(site.control);
  const answer = await signInAtProvider(location, "ann");
  const codes: unknown[] = [];
  for (let at = 0; at < 12; at++) {
    codes.push((await comeBack(site.control, answer, "", { address: "10.9.9.9" })).json["code"]);
  }
  expect(codes.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => "OIDC_STATE_INVALID"));
  expect(codes.at(-1)).toBe("HTTP_TOO_MANY_BAD_TOKENS");
});

test("an answer signs in once even at a provider that accepts its code again", async () => {
  const { control, provider } = site;
  const people = control.access.people;
  const once = "/access/oidc-used/test";
  const person = { user: "ann@example.com", groups: ["team-a"] };
  const options = { seconds: 60, address: "127.0.0.1", once };
  await people.signIn(person, options);
  await expect(people.signIn(person, options)).rejects.toMatchObject({ code: "OIDC_STATE_INVALID" });
  expect(provider.requests.length).toBeGreaterThan(0);
});

test("the browser goes to the page that it came from, and nowhere else", async () => {
  const { control } = site;
  for (const [asked, then] of [
    ["/ui/services?q=a", "/ui/services?q=a"],
    ["https://evil.example/", "/ui/"],
    ["//evil.example", "/ui/"],
    ["/ui/../v1/tokens", "/ui/"],
  ] as const) {
    const { location, cookie } = await begin(control, `?return=${encodeURIComponent(asked)}`);
    const back = await comeBack(control, await signInAtProvider(location, "ann"), cookie);
    expect(back.location).toBe(then);
  }
});

test("the start asks for a code with PKCE, state and nonce, and nothing of it is in the address twice", async () => {
  const first = await begin(site.control);
  expect(first.status).toBe(302);
  const url = new URL(first.location);
  const query = Object.fromEntries(url.searchParams);
  expect(query).toMatchObject({
    client_id: "posthouse",
    response_type: "code",
    redirect_uri: `${PUBLIC_URL}${CALLBACK}`,
    scope: "openid profile email groups",
    code_challenge_method: "S256",
  });
  expect(first.headers["set-cookie"]).toMatch(
    /^posthouse_oidc_[\w-]{8}=[\w-]+; Path=\/ui\/api\/oidc\/; Max-Age=600; HttpOnly; SameSite=Lax$/,
  );
  expect(first.headers["cache-control"]).toBe("no-store");
  const second = new URL((await begin(site.control)).location).searchParams;
  for (const name of ["state", "nonce", "code_challenge"]) expect(second.get(name)).not.toBe(query[name]);
});

test("a console that was opened at another address says which one is right", async () => {
  const { json } = await begin(site.control, "", { host: "localhost:8500" });
  expect(json["code"]).toBe("OIDC_WRONG_ADDRESS");
  expect(json["detail"]).toContain(`${PUBLIC_URL}/ui/`);
});

test("behind TLS, both cookies are Secure, and the names prove it", async () => {
  await using tls = await startOidcSite({ people: { ann: { groups: ["a"] } }, publicUrl: "https://console.example" });
  await bind(tls.control, "group:a", { policies: ["viewer"] });
  const headers = { host: "console.example" };
  const { location, cookie, headers: sent } = await begin(tls.control, "", headers);
  expect(String(sent["set-cookie"])).toMatch(/^__Secure-posthouse_oidc_.*; Secure$/);
  const back = await comeBack(tls.control, await signInAtProvider(location, "ann"), cookie, headers);
  expect(back.cookies.find((one) => one.includes("posthouse_session"))).toMatch(
    /^__Host-posthouse_session=.*; Secure$/,
  );
});

test("a sign-in may start at one member and end at another, which knows the session at once", async () => {
  const host = testHost();
  await using store = openMemoryStore(host);
  await using first = await startOidcSite({ people: { ann: { groups: ["a"] } }, control: { store } });
  const settings = oidcSettings(first.provider);
  await using second = await withControl({ store, oidc: settings, publicUrl: () => PUBLIC_URL });
  await bind(first.control, "group:a", { policies: ["viewer"] });
  await eventually("the second member knows the binding", () =>
    Promise.resolve(second.access.policiesOf({ user: "", groups: ["a"] }) !== undefined),
  );
  const { location, cookie } = await begin(first.control);
  const { session } = await comeBack(second, await signInAtProvider(location, "ann"), cookie);
  expect((await me(first.control, session)).status).toBe(200);
  expect((await me(second, session)).status).toBe(200);
});

test("one person has at most twenty sign-ins, and the oldest ends", async () => {
  const { people } = site.control.access;
  const person = { user: "many@example.com", groups: ["team-a"] };
  const rows = async () => {
    const { json } = await site.control.call("GET", "/v1/tokens");
    return (json["tokens"] as { name: string }[]).filter(({ name }) => name === person.user).length;
  };
  for (let at = 0; at < 22; at++) {
    await people.signIn(person, { seconds: 60, address: "127.0.0.1", once: `/access/oidc-used/many-${at}` });
    await eventually("it is listed", async () => (await rows()) === Math.min(20, at + 1));
  }
});

test("a provider that is away is a clear problem for the person, and the control API goes on", async () => {
  const { control, provider } = site;
  const { location, cookie } = await begin(control);
  const answer = await signInAtProvider(location, "ann");
  await provider.stop();
  const { status, json } = await comeBack(control, answer, cookie);
  expect([status, json["code"]]).toEqual([503, "OIDC_PROVIDER_UNAVAILABLE"]);
  expect(json["detail"]).toContain(provider.issuer);
  expect((await control.call("GET", "/v1/me")).status).toBe(200);
  await provider.start();
  expect((await signInPerson(control, "ann")).status).toBe(302);
});

test("a code that is too old is refused", async () => {
  await using short = await startOidcSite({ people: { ann: { groups: ["a"] } }, codeSeconds: 1 });
  await bind(short.control, "group:a", { policies: ["viewer"] });
  const { location, cookie } = await begin(short.control);
  const answer = await signInAtProvider(location, "ann");
  // The provider's clock is in whole seconds, and nothing can be asked about a code without using it.
  await new Promise((resolve) => setTimeout(resolve, 2_100));
  const { status, json } = await comeBack(short.control, answer, cookie);
  expect([status, json["code"]]).toEqual([401, "OIDC_REFUSED"]);
});

test("groups in the user info count like those in the ID token", async () => {
  await using loose = await startOidcSite({ people: { ann: { groups: ["a"] } }, isConform: false });
  await bind(loose.control, "group:a", { policies: ["viewer"] });
  expect((await signInPerson(loose.control, "ann")).status).toBe(302);
  expect(loose.provider.requests).not.toContain("GET /me");
  expect(site.provider.requests).toContain("GET /me");
});
