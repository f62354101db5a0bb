/** The pages of services in a browser: the list, one service, one instance, and what can be done with it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../kit/mod.ts";
import { axe, hasBrowser, overflow, startConsole, type TestConsole } from "./kit.ts";

const LONG = "payments-reconciliation-worker-for-cross-border-settlements";

describe.runIf(hasBrowser)("the pages of services", () => {
  let site: TestConsole;
  beforeAll(async () => {
    site = await startConsole();
    await register("orders", "orders-1", { zone: "eu-1", version: "1.4.0", metadata: { tier: "gold" } });
    await register("orders", "orders-2");
    await register(LONG, `${LONG}-1`);
    await report("orders", "orders-1", "passing", "200 OK");
    await report("orders", "orders-2", "critical", "connect ECONNREFUSED 10.0.0.2:8080");
    await report(LONG, `${LONG}-1`, "passing", "200 OK");
  });
  afterAll(() => site[Symbol.asyncDispose]());

  async function register(service: string, id: string, more: Record<string, unknown> = {}) {
    const checks = [{ id: "http", type: "ttl", ttlSeconds: 3600 }];
    const body = { address: "10.0.0.1", port: 8080, checks, ...more };
    await site.call("PUT", `/v1/services/${service}/instances/${id}`, body);
  }
  async function report(service: string, id: string, status: string, output: string) {
    const path = `/v1/services/${service}/instances/${id}/checks/http`;
    await site.call("PUT", path, { status, output });
  }
  const lifecycleOf = async (id: string) =>
    (await site.control.call("GET", `/v1/services/orders/instances/${id}`)).json["lifecycle"];

  test("from the list to the failing check, and out of rotation and back", async () => {
    const page = await site.open("/ui/services");
    const rows = page.getByRole("row");
    // The service with trouble comes first, below the heading.
    await expect.poll(() => rows.nth(1).innerText(), { timeout: 60_000 }).toContain("orders");
    expect(await rows.nth(1).innerText()).toContain("Degraded");
    expect(await rows.nth(1).innerText()).toContain("1 passing · 1 critical");
    await page.getByRole("link", { name: "orders", exact: true }).click();
    await page.getByRole("heading", { name: "orders", exact: true }).waitFor();
    await expect.poll(() => page.locator(".ribbon").count(), { timeout: 60_000 }).toBe(2);

    await page.getByRole("row").filter({ hasText: "orders-2" }).click();
    const panel = page.getByRole("dialog");
    await panel.getByText("connect ECONNREFUSED 10.0.0.2:8080").first().waitFor();
    expect(await axe(page)).toEqual([]);
    await page.keyboard.press("Escape");

    await page.getByRole("row").filter({ hasText: "orders-1" }).click();
    await panel.getByText("gold").waitFor();
    await panel.getByRole("button", { name: "Take out of rotation" }).click();
    const dialog = page.getByRole("dialog", { name: "Take orders-1 out of rotation" });
    await dialog.getByText("It is the last healthy instance").waitFor();
    await dialog.getByRole("button", { name: "Take out of rotation" }).click();
    await panel.getByRole("button", { name: "Put back" }).waitFor();
    expect(await lifecycleOf("orders-1")).toBe("draining");
    await panel.getByRole("button", { name: "Put back" }).click();
    await page.getByRole("dialog", { name: "Put orders-1 back" }).getByRole("button", { name: "Put back" }).click();
    await eventually("the instance serves again", async () => (await lifecycleOf("orders-1")) === "serving");
  });

  test("deregisters an instance, whose history stays in the list", async () => {
    await register("orders", "orders-3");
    const page = await site.open("/ui/services/orders?instance=orders-3");
    await page.getByRole("dialog").getByRole("button", { name: "Deregister" }).click();
    const dialog = page.getByRole("dialog", { name: "Deregister orders-3" });
    await dialog.getByRole("combobox").selectOption("0");
    await dialog.getByRole("button", { name: "Deregister" }).click();
    await page.getByText("This instance is no longer registered.").waitFor();
    await page.keyboard.press("Escape");
    const row = page.getByRole("row").filter({ hasText: "orders-3" });
    await row.getByText("Not registered", { exact: true }).waitFor();
  });

  test("sets a policy, and says when the text is not JSON", async () => {
    const page = await site.open("/ui/services/orders?view=policy");
    await page.getByRole("button", { name: "Edit" }).click();
    const dialog = page.getByRole("dialog");
    const editor = dialog.locator(".cm-content");
    const type = async (text: string) => {
      await editor.press("ControlOrMeta+a");
      await page.keyboard.insertText(text);
    };
    await type("{ ");
    await dialog.getByText("Not a JSON object").waitFor();
    await type('{ "minHealthyPercent": 20 }');
    await dialog.getByRole("button", { name: "Save policy" }).click();
    await dialog.waitFor({ state: "detached" });
    const { json } = await site.control.call("GET", "/v1/services/orders");
    expect(json["policy"]).toEqual({ minHealthyPercent: 20 });
    expect(await axe(page)).toEqual([]);
  });

  test("what the role does not allow is disabled and says why", async () => {
    const { token } = await site.control.access.tokens.issue({ name: "reader", policies: ["viewer"] }, "test");
    const page = await site.open("/ui/services/orders?instance=orders-1", { token });
    const button = page.getByRole("dialog").getByRole("button", { name: "Deregister" });
    await button.waitFor();
    expect(await button.getAttribute("aria-disabled")).toBe("true");
    expect(await button.getAttribute("title")).toContain("registry:write");
  });

  test("on a phone, in Chinese and dark: every page fits and reads well", async () => {
    const page = await site.open("/ui/services", { language: "zh", theme: "dark", width: 360, height: 780 });
    await page.getByText("部分故障").waitFor();
    expect(await overflow(page)).toBeLessThanOrEqual(0);
    expect(await axe(page)).toEqual([]);
    for (const [view, text] of [
      ["instances", "1 个实例"],
      ["calls", "调用的服务"],
      ["policy", "策略"],
      ["changes", "变更"],
    ] as const) {
      await page.goto(`${site.base}/ui/services/${LONG}?view=${view}`);
      await page.getByRole("main").getByText(text).first().waitFor();
      expect(await overflow(page), view).toBeLessThanOrEqual(0);
      expect(await axe(page), view).toEqual([]);
    }
  });

  test("an empty namespace teaches how to register", async () => {
    const page = await site.open("/ui/services?namespace=empty");
    await page.getByText("No services in this namespace").waitFor();
    await page.getByText("curl -sS -X PUT").waitFor();
  });

  test("of hundreds of instances only the visible rows are drawn, and j moves", async () => {
    for (let from = 0; from < 320; from += 32) {
      const instances = Array.from({ length: 32 }, (_, index) => ({
        service: "many",
        id: `many-${from + index}`,
        registration: { address: "10.0.0.9", port: 9000 },
      }));
      await site.call("POST", "/v1/batches", { instances });
    }
    const page = await site.open("/ui/services/many");
    await page.getByText("320 instances").waitFor();
    expect(await page.locator(".line").count()).toBeLessThan(100);
    await page.locator(".line").first().focus();
    await page.keyboard.press("j");
    expect(await page.evaluate("document.activeElement.dataset.index")).toBe("1");
  });
});
