/** The weight of an instance, changed in a browser: the dialog names the share of the requests before and after. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { axe, hasBrowser, overflow, startConsole, type TestConsole } from "./kit.ts";

describe.runIf(hasBrowser)("the weight of an instance", () => {
  let site: TestConsole;
  beforeAll(async () => {
    site = await startConsole();
    for (const id of ["orders-1", "orders-2", "orders-3"]) {
      const name = { namespace: "default", service: "orders", id };
      await site.control.client.registry.register(name, { address: "10.0.0.1", port: 8080 });
    }
  });
  afterAll(() => site[Symbol.asyncDispose]());

  test("is changed after a look at its consequence", async () => {
    const page = await site.open("/ui/services/orders?instance=orders-1");
    await page.getByRole("button", { name: "Change weight" }).click();
    const dialog = page.getByRole("dialog", { name: "Change the weight of orders-1" });
    const field = dialog.getByRole("spinbutton", { name: "Weight" });
    const confirm = dialog.getByRole("button", { name: "Change weight" });
    await field.fill("1001");
    expect(await confirm.isDisabled()).toBe(true);
    await field.fill("50");
    await dialog.getByText("about 33.3% → 20%").waitFor();
    expect(await axe(page)).toEqual([]);
    await confirm.click();
    await page.getByText("The weight is changed").waitFor();
    const { json } = await site.control.call("GET", "/v1/services/orders/instances/orders-1");
    expect(json).toMatchObject({ weight: 50 });
    await expect.poll(() => page.getByRole("dialog").innerText(), { timeout: 60_000 }).toMatch(/Weight\s+50/i);
  });

  test("on a phone, in Chinese and dark", async () => {
    const page = await site.open("/ui/services/orders?instance=orders-2", {
      language: "zh",
      theme: "dark",
      width: 360,
      height: 780,
    });
    await page.getByRole("button", { name: "调整权重" }).click();
    await page.getByText("预计请求占比").waitFor();
    expect(await overflow(page)).toBeLessThanOrEqual(0);
    expect(await axe(page)).toEqual([]);
  });
});
