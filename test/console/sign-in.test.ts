/** Signing in to the console by OpenID Connect, and confirming a device there, in a real browser with a real identity provider. */
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CALLBACK, oidcSettings } from "../access/oidc/kit.ts";
import { startProvider, type TestProvider } from "../access/oidc/provider.ts";
import { eventually, within } from "../kit/mod.ts";
import { axe, type ConsoleView, hasBrowser, overflow, startConsole, type TestConsole } from "./kit.ts";

describe.runIf(hasBrowser)("signing in", () => {
  let provider: TestProvider;
  let site: TestConsole;
  beforeAll(async () => {
    provider = await startProvider({ people: { ann: { groups: ["team-a"] }, eve: { groups: ["strangers"] } } });
    site = await startConsole({ oidc: oidcSettings(provider), publicUrl: () => site.base });
    await provider.allowRedirect(`${site.base}${CALLBACK}`);
    await site.call("PUT", "/v1/bindings/group:team-a", { policies: ["editor"] });
  });
  afterAll(async () => {
    await site?.[Symbol.asyncDispose]();
    await provider?.[Symbol.asyncDispose]();
  });

  /** Fills in the provider's forms. */
  async function signInAs(page: Page, login: string) {
    await page.getByRole("link", { name: /Sign in with SSO|使用 SSO 登录/ }).click();
    await page.locator("input[name=login]").fill(login);
    await page.locator("input[name=password]").fill("x");
    await page.getByRole("button", { name: /Sign-in/i }).click();
    await page.getByRole("button", { name: /Continue/i }).click();
  }

  test("a person comes back to the page that they opened, works there, and signs out", async () => {
    const page = await site.openSignedOut("/ui/services?q=orders");
    await signInAs(page, "ann");
    await page.waitForURL(`${site.base}/ui/services?q=orders`);
    await page.getByRole("heading", { name: "Services", level: 1 }).waitFor();
    const cookies = await page.context().cookies(site.base);
    expect(cookies.filter(({ name }) => name.startsWith("posthouse"))).toMatchObject([
      { name: "posthouse_session", httpOnly: true, sameSite: "Strict" },
    ]);
    // The next page of the same browser needs no sign-in, though the link comes from elsewhere.
    await page.reload();
    await page.getByRole("heading", { name: "Services", level: 1 }).waitFor();
    await page.getByRole("button", { name: "ann@example.com · editor" }).click();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("link", { name: "Sign in with SSO" }).waitFor();
  });

  test("a person without a binding reads what an operator must do", async () => {
    const page = await site.openSignedOut("/ui/");
    await signInAs(page, "eve");
    await page.getByRole("heading", { name: "No binding for this person" }).waitFor();
    await page.getByText('posthouse binding set "user:eve@example.com" --policy viewer').waitFor();
    await page.getByRole("link", { name: "Back to the sign-in page" }).click();
    await page.getByRole("link", { name: "Sign in with SSO" }).waitFor();
  });

  test("a binding that goes signs the browser out within a second", async () => {
    await site.control.call("PUT", "/v1/bindings/user:eve@example.com", { policies: ["viewer"] });
    await eventually("the binding is known", () =>
      Promise.resolve(site.control.access.policiesOf({ user: "eve@example.com", groups: [] }) !== undefined),
    );
    const page = await site.openSignedOut("/ui/services");
    await signInAs(page, "eve");
    await page.getByRole("heading", { name: "Services", level: 1 }).waitFor();
    const session = async () => (await page.context().request.get(`${site.base}/ui/api/session`)).status();
    expect(await session()).toBe(200);
    await site.control.call("DELETE", "/v1/bindings/user:eve@example.com");
    await within(1_000, "the session is over", async () => (await session()) === 401);
    await page.getByRole("link", { name: "Sign in with SSO" }).waitFor();
  });

  const VIEWS: readonly ConsoleView[] = [
    { language: "en", theme: "light" },
    { language: "zh", theme: "dark" },
    { language: "zh", theme: "light", width: 360, height: 720 },
  ];
  test.each(VIEWS)("the sign-in page is accessible in %j", async (view) => {
    const page = await site.openSignedOut("/ui/", view);
    await page.getByRole("link", { name: /SSO/ }).waitFor();
    expect(await axe(page)).toEqual([]);
    expect(await overflow(page)).toBe(0);
  });

  async function startDevice(device: string) {
    const { json } = await site.control.call("POST", "/v1/device-logins", { device }, {});
    return json as { deviceCode: string; userCode: string; verificationPath: string; verificationUrl: string };
  }
  const poll = (deviceCode: string) => site.control.call("POST", "/v1/device-logins/token", { deviceCode }, {});

  test.each(VIEWS)("a person confirms a device in %j", async (view) => {
    const { deviceCode, userCode, verificationPath, verificationUrl } = await startDevice("build-7");
    expect(verificationUrl).toBe(`${site.base}${verificationPath}`);
    const page = await site.open(verificationPath, view);
    await page.getByText(userCode).waitFor();
    await page.getByText("build-7").first().waitFor();
    expect(await axe(page)).toEqual([]);
    expect(await overflow(page)).toBe(0);
    await page.getByRole("button", { name: view.language === "zh" ? "确认" : "Confirm" }).click();
    await page.getByText(view.language === "zh" ? "该机器已登录" : "The machine is signed in").waitFor();
    expect((await poll(deviceCode)).json).toMatchObject({ name: "operator" });
  });

  test("a person types a code, denies it, and a wrong code is said to be wrong", async () => {
    const { deviceCode, userCode } = await startDevice("build-8");
    const page = await site.open("/ui/device");
    await page.getByLabel("Code", { exact: true }).fill("bcdf ghjk");
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByText("No login with the code BCDF-GHJK waits for a decision").waitFor();
    await page.getByRole("button", { name: "Another code" }).click();
    await page.getByLabel("Code", { exact: true }).fill(userCode.toLowerCase().replace("-", " "));
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByRole("button", { name: "Deny" }).click();
    await page.getByText("“build-8” received nothing").waitFor();
    expect((await poll(deviceCode)).json["code"]).toBe("DEVICE_ACCESS_DENIED");
  });

  test("a person who is not signed in does that first, and then sees the device", async () => {
    const { userCode, verificationPath } = await startDevice("build-9");
    const page = await site.openSignedOut(verificationPath);
    await signInAs(page, "ann");
    await page.getByText(userCode).waitFor();
    await page.getByText("ann@example.com").first().waitFor();
  });
});
