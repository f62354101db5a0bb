/** The page of tokens in a browser: issuing one that works, its limits, revoking it, and one's own. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../kit/mod.ts";
import { axe, hasBrowser, overflow, startConsole, type TestConsole } from "./kit.ts";

const LONG = "payments-reconciliation-worker-for-cross-border-settlements";

describe.runIf(hasBrowser)("the page of tokens", () => {
  let site: TestConsole;
  beforeAll(async () => {
    site = await startConsole();
    await issue({ name: LONG, policies: ["agent"], apps: ["orders", "payments"], ttlSeconds: 3600 });
  });
  afterAll(() => site[Symbol.asyncDispose]());

  async function issue(request: Record<string, unknown>): Promise<{ id: string; token: string }> {
    const { status, json } = await site.control.call("POST", "/v1/tokens", request);
    expect(status, JSON.stringify(json)).toBe(201);
    return json as { id: string; token: string };
  }
  const statusWith = async (token: string) =>
    (await site.control.call("GET", "/v1/me", undefined, { authorization: `Bearer ${token}` })).status;

  test("issues a token that works, shows it once, and revokes it", async () => {
    const page = await site.open("/ui/access");
    await page.getByText("1 token expires within 7 days").waitFor();
    await page.getByRole("button", { name: "Issue token" }).click();
    const dialog = page.getByRole("dialog");
    // The focus is where a person types first.
    await page.keyboard.type("host-7");
    await dialog.getByText("Reads everything except secrets").click();
    await dialog.getByText("For a host: registers instances").click();
    await dialog.getByLabel("Services", { exact: true }).fill("orders, Orders");
    await dialog.getByText('"Orders" is not a valid name').waitFor();
    expect(await dialog.getByRole("button", { name: "Issue token" }).getAttribute("aria-disabled")).toBe("true");
    await dialog.getByLabel("Services", { exact: true }).fill("orders");
    await dialog.getByLabel("Apps", { exact: true }).fill("orders");
    expect(await axe(page)).toEqual([]);
    await dialog.getByRole("button", { name: "Issue token" }).click();

    await page.getByText("It is shown only here and only once").waitFor();
    const token = await page.getByRole("dialog").locator(".command code").first().innerText();
    await eventually("the token works", async () => (await statusWith(token)) === 200);
    const { json } = await site.control.call("GET", "/v1/me", undefined, { authorization: `Bearer ${token}` });
    expect(json).toMatchObject({
      name: "host-7",
      policies: ["agent"],
      limits: { apps: ["orders"], services: ["orders"] },
    });
    await page.getByRole("button", { name: "I have copied it" }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    expect(await page.content()).not.toContain(token);

    await page.getByRole("row").filter({ hasText: "host-7" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Rotate" }).click();
    await page
      .getByRole("dialog", { name: "Rotate the token" })
      .getByLabel("The previous secret works for")
      .selectOption("0");
    await page.getByRole("dialog", { name: "Rotate the token" }).getByRole("button", { name: "Rotate" }).click();
    await page.getByText("It is shown only here and only once").waitFor();
    const next = await page.getByRole("dialog").locator(".command code").first().innerText();
    await page.getByRole("button", { name: "I have copied it" }).click();
    await eventually("the new secret works", async () => (await statusWith(next)) === 200);
    expect(await statusWith(token)).toBe(401);

    await page.getByRole("row").filter({ hasText: "host-7" }).click();
    await page.getByRole("dialog").getByText("orders").first().waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    const confirm = page.getByRole("dialog", { name: "Revoke the token" });
    await confirm.getByText("Revoke the token “host-7”?").waitFor();
    expect(await confirm.getByText("your own token").count()).toBe(0);
    await confirm.getByRole("button", { name: "Revoke" }).click();
    await eventually("the token is rejected", async () => (await statusWith(next)) === 401);
    await page.getByRole("row").filter({ hasText: "host-7" }).waitFor({ state: "detached" });
  });

  test("one's own token is marked, and revoking it warns and signs out", async () => {
    const { token } = await issue({ name: "ann", policies: ["operator"] });
    const page = await site.open("/ui/access?q=ann", { token });
    const row = page.getByRole("row").filter({ hasText: "ann" });
    await row.getByText("Yours").waitFor();
    await row.click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    const confirm = page.getByRole("dialog", { name: "Revoke the token" });
    await confirm.getByText("This is your own token").waitFor();
    await confirm.getByRole("button", { name: "Revoke" }).click();
    await page.getByLabel("Token", { exact: true }).waitFor();
  });

  test("a caller without access:manage asks about itself, and sees no token", async () => {
    const { token } = await issue({ name: "eve", policies: ["viewer"] });
    const page = await site.open("/ui/access", { token });
    await page.getByLabel("Action").selectOption("config:publish");
    await page.getByText("No rule of these policies allows it.").waitFor();
    const tabs = page.getByRole("navigation", { name: "Parts of the page" }).getByRole("link");
    expect(await tabs.allInnerTexts()).toEqual(["Effective rights"]);
    expect(await page.content()).not.toContain(LONG);
  });

  test("on a phone, in Chinese and dark, it fits and reads well; the filter is in the URL", async () => {
    const page = await site.open("/ui/access?q=payments", { language: "zh", theme: "dark", width: 360, height: 780 });
    await page.getByRole("row").filter({ hasText: LONG }).waitFor();
    expect(await page.getByRole("row").count()).toBe(2);
    expect(await overflow(page)).toBeLessThanOrEqual(0);
    expect(await axe(page)).toEqual([]);
    await page.getByRole("row").filter({ hasText: LONG }).click();
    await page.getByRole("dialog").getByText("orders, payments").waitFor();
    expect(await axe(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await page.getByRole("searchbox").fill("nothing-has-this-name");
    await page.getByText("没有符合筛选条件的内容").waitFor();
  });
});
