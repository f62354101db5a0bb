/** The pages of routes in a browser: the list, one route, a form that adds one, the editor, the tester, and going back. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Page } from "playwright-core";
import { eventually } from "../kit/mod.ts";
import { withExplainer } from "../gateway/explain-kit.ts";
import { axe, hasBrowser, overflow, startConsole, type TestConsole } from "./kit.ts";

const LONG = "payments-reconciliation-worker-for-cross-border-settlements";
const PATIENT = { timeout: 60_000 };
const CONFIG = `# Ask the edge team first.
routes:
  - name: orders
    match: { hosts: [shop.example.com], path: { prefix: /orders } }
    service: orders
    rateLimit: { requests: 100, perSeconds: 1, by: ip }
  - name: old
    match: { path: { prefix: /old } }
    redirect: { prefix: /orders, status: 308 }
  - name: ${LONG}
    match: { path: { prefix: /payments } }
    service: ${LONG}
    filters: [{ name: key-auth }]
  - name: never
    match: { path: { prefix: /payments/x } }
    service: orders
    priority: -1
`;

describe.runIf(hasBrowser)("the pages of routes", () => {
  let site: TestConsole;
  beforeAll(async () => {
    site = await startConsole(withExplainer());
    const { client } = site.control;
    await release(CONFIG, "the first routes");
    const instance = { namespace: "default", service: "orders", id: "orders-1" };
    await client.registry.register(instance, { address: "127.0.0.1", port: 9 });
  });
  afterAll(() => site[Symbol.asyncDispose]());

  const set = { namespace: "default", app: "gateway", profile: "default" };
  const release = (value: string, reason: string) =>
    site.control.client.config.publish(set, { items: { "gateway.yaml": { format: "yaml", value } }, reason });
  const liveText = async () => (await site.control.client.config.effective(set)).items["gateway.yaml"]?.value ?? "";
  const rowOf = (page: Page, name: string) => page.getByRole("row").filter({ hasText: name });

  test("the list is in the order of comparison, and its filter is in the URL", async () => {
    const page = await site.open("/ui/routes");
    const names = page.locator(".table .line .cell.name");
    await expect.poll(() => names.allInnerTexts(), PATIENT).toEqual(["orders", LONG, "old", "never"]);
    await rowOf(page, "never").getByText("Never used").waitFor();
    expect(await rowOf(page, "old").innerText()).toContain("308 → /orders");
    expect(await axe(page)).toEqual([]);
    await page.getByLabel("Filter").fill("key-auth");
    await expect.poll(() => names.allInnerTexts(), PATIENT).toEqual([LONG]);
    expect(page.url()).toContain("q=key-auth");
    await page.getByLabel("Filter").fill("");
    await page.getByRole("button", { name: "Problems" }).click();
    await expect.poll(() => names.allInnerTexts(), PATIENT).toEqual([LONG, "never"]);
    await page.getByRole("link", { name: LONG }).click();
    await page.getByText("Filter key-auth").waitFor();
    await page.getByText("Lines 10 to 13").waitFor();
    await page.locator(".cm-content").getByText("/payments").waitFor();
    expect(await axe(page)).toEqual([]);
  });

  test("a request is explained; its credentials stay out of the URL", async () => {
    const page = await site.open("/ui/routes/test");
    await page.getByLabel("URL").fill(`http://a.example/payments/1`);
    await page.getByText("Credentials, client and listener").click();
    await page.getByLabel("API key").fill("the-secret-key");
    await page.getByLabel("Headers").fill("x-a: 1\nx-token: another-secret");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByText("Refused with 401").waitFor();
    const candidates = page.getByRole("table", { name: "Routes, in the order" });
    expect(await candidates.getByRole("row").nth(1).innerText()).toContain(LONG);
    expect(await candidates.innerText()).toContain("host is not shop.example.com");
    expect(page.url()).toContain("url=http");
    expect(page.url()).toContain("headers=x-a");
    expect(page.url()).not.toMatch(/secret/);
    expect(await axe(page)).toEqual([]);
    await page.goto(`${site.base}/ui/routes/test?url=${encodeURIComponent("http://shop.example.com/orders/7")}`);
    await page.getByText("Forwarded to orders").waitFor();
    await page.getByRole("table", { name: "Endpoints" }).getByText("orders-1").waitFor();
  });

  test("a route is added to the text, tested by it, released with a reason, and rolled back", async () => {
    const page = await site.open("/ui/routes");
    await page.getByRole("button", { name: "Add route" }).click();
    const form = page.getByRole("dialog");
    await form.getByLabel("Name").fill("cart");
    await form.getByLabel("Path prefix").fill("/cart");
    await form.getByLabel("Service").fill("orders");
    await form.getByText("posthouse route add cart --path-prefix /cart --service orders").waitFor();
    await form.getByRole("button", { name: "Add to the text" }).click();
    await page.getByText("Valid: 5 routes").waitFor();
    expect(await liveText()).toBe(CONFIG);

    await page.getByRole("link", { name: "Test a request by this text" }).click();
    await page.getByLabel("URL").fill("http://shop.example.com/cart/1");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByRole("link", { name: "cart", exact: true }).first().waitFor();

    await page.getByRole("link", { name: "Edit", exact: true }).click();
    await page.getByRole("button", { name: "Review and release…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.locator(".cm-content").first().waitFor();
    await dialog.getByLabel("Reason").fill("the cart");
    await dialog.getByRole("button", { name: "Release", exact: true }).click();
    await page.getByText("As released").waitFor();
    const released = await liveText();
    expect(released).toContain("# Ask the edge team first.");
    expect(released).toContain("- name: cart");

    await page.getByRole("link", { name: "Releases" }).click();
    await rowOf(page, "the cart").getByText("Live").waitFor();
    await rowOf(page, "the first routes").getByRole("button", { name: "Roll back…" }).click();
    await page.getByRole("dialog").locator(".cm-content").first().waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Roll back", exact: true }).click();
    await eventually("the earlier text is live", async () => (await liveText()) === CONFIG);
  });

  test("the server's problems appear where they are, and nothing can be released with them", async () => {
    const page = await site.open("/ui/routes/edit");
    const editor = page.locator(".cm-content");
    await editor.click();
    await page.keyboard.press("Control+Home");
    await page.keyboard.type("trustedProxy: [10.0.0.1]\n");
    await page.getByText("1 problem", { exact: true }).waitFor();
    await page.getByRole("list", { name: "Problems" }).getByText("trustedProxy").waitFor();
    expect(await page.getByRole("button", { name: "Review and release…" }).getAttribute("aria-disabled")).toBe("true");
    expect(await axe(page)).toEqual([]);
    await page.getByRole("button", { name: "Discard" }).click();
    await page.getByText("As released").waitFor();
  });

  test("a reader sees the text, and which action it lacks", async () => {
    const { token } = await site.control.client.access.issueToken({ name: "reader", policies: ["viewer"] });
    const page = await site.open("/ui/routes/edit", { token });
    await page.getByText("Your policies allow you to read this text, not to change it.").waitFor();
    const button = page.getByRole("button", { name: "Review and release…" });
    expect(await button.getAttribute("title")).toContain("config:publish");
  });

  test("in Chinese, dark, on a phone", async () => {
    const view = { language: "zh", theme: "dark", width: 360, height: 740 } as const;
    const page = await site.open("/ui/routes", view);
    await rowOf(page, "orders").getByText("健康").waitFor();
    for (const [path, text] of [
      ["", "4 条路由"],
      [`/at/${LONG}`, "请求的处理过程"],
      ["/test?url=http%3A%2F%2Fshop.example.com%2Forders", "转发到 orders"],
      ["/edit", "校验通过：4 条路由"],
      ["/releases", "发布人"],
    ] as const) {
      await page.goto(`${site.base}/ui/routes${path}`);
      if (path !== "/releases") await page.getByText(text).first().waitFor();
      else await page.getByRole("row").nth(1).waitFor();
      expect([path, await overflow(page)]).toEqual([path, 0]);
      expect([path, await axe(page)]).toEqual([path, []]);
    }
  });
});
