/** The page of the control plane itself in a browser: its state, and who is connected to it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { axe, hasBrowser, overflow, startConsole, type TestConsole } from "./kit.ts";

const LONG = "edge-gateway-of-the-second-data-center-in-frankfurt-am-main";

describe.runIf(hasBrowser)("the page of the control plane", () => {
  let site: TestConsole;
  beforeAll(async () => {
    site = await startConsole();
    const registration = {
      address: "10.0.0.1",
      port: 8080,
      owner: "host-1",
      checks: [{ id: "t", type: "ttl", ttlSeconds: 600 }],
    };
    await site.call("PUT", "/v1/services/orders/instances/orders-1", registration);
    await site.call("POST", "/v1/config/default/gateway/default/releases", {
      items: { "gateway.yaml": { format: "yaml", value: "routes: []\n" } },
      reason: "first",
    });
    const { json } = await site.control.call("GET", "/v1/config/default/gateway/default");
    await site.call("PUT", `/v1/config/default/gateway/default/acknowledgements/${LONG}`, {
      releaseKey: json["releaseKey"],
      outcome: "failed",
      error: "the certificate of api.example.com is missing",
    });
  });
  afterAll(() => site[Symbol.asyncDispose]());

  test("state: ready, the checks, this member, the store", async () => {
    const page = await site.open("/ui/system");
    await page.getByRole("heading", { name: "System" }).waitFor();
    await page.getByText("Ready", { exact: true }).waitFor();
    const { json } = await site.control.call("GET", "/v1/system");
    await page.getByText(String(json["member"])).waitFor();
    const checks = page.locator(".system-checks li");
    await checks.filter({ hasText: "Store" }).getByText("Warning").waitFor();
    await checks.filter({ hasText: "Secrets" }).getByText("Skipped").waitFor();
    expect(await axe(page)).toEqual([]);
  });

  test("gateways with the reason for a rejected release, and agents with their instances", async () => {
    const page = await site.open("/ui/system?view=gateways");
    const row = page.getByRole("row").filter({ hasText: LONG });
    await row.getByText("Rejected it").waitFor();
    await row.getByText("the certificate of api.example.com is missing").waitFor();
    expect(await axe(page)).toEqual([]);
    await page.getByRole("link", { name: "Agents" }).click();
    await page.getByRole("row").filter({ hasText: "host-1" }).getByText("orders").waitFor();
    await page.getByRole("link", { name: "Watches" }).click();
    await page.getByText("No open watch").waitFor();
  });

  test("a reader sees the state, and neither the keys nor their view", async () => {
    const { token } = await site.control.access.tokens.issue({ name: "reader", policies: ["viewer"] }, "test");
    const page = await site.open("/ui/system?view=keys", { token });
    await page.locator(".system-checks li").filter({ hasText: "Your policies do not show the keys." }).waitFor();
    expect(await page.getByRole("link", { name: "Secret keys" }).count()).toBe(0);
  });

  test("on a phone, in Chinese and dark: every view fits and reads well", async () => {
    const page = await site.open("/ui/system", { language: "zh", theme: "dark", width: 360, height: 780 });
    for (const [view, text] of [
      ["state", "自检"],
      ["gateways", "拒绝了配置"],
      ["agents", "host-1"],
      ["watches", "没有订阅"],
      ["sources", "没有配置来源"],
      ["keys", "未配置密钥"],
    ] as const) {
      await page.goto(`${site.base}/ui/system?view=${view}`);
      await page.getByRole("main").getByText(text).first().waitFor();
      expect(await overflow(page), view).toBeLessThanOrEqual(0);
      expect(await axe(page), view).toEqual([]);
    }
  });
});
