/** The overview in a browser: what is wrong, since when, and what changed before. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { axe, hasBrowser, overflow, startConsole, type TestConsole } from "./kit.ts";

describe.runIf(hasBrowser)("the overview", () => {
  let site: TestConsole;
  beforeAll(async () => (site = await startConsole()));
  afterAll(() => site[Symbol.asyncDispose]());

  const register = (service: string) =>
    site.call("PUT", `/v1/services/${service}/instances/${service}-1`, {
      address: "10.0.0.1",
      port: 8080,
      checks: [{ id: "http", type: "ttl", ttlSeconds: 3600 }],
    });
  const report = (service: string, status: string) =>
    site.call("PUT", `/v1/services/${service}/instances/${service}-1/checks/http`, { status, output: "said so" });

  test("teaches the first step, is calm when all is well, and live when something breaks", async () => {
    const page = await site.open("/ui/");
    await page.getByText("No services yet").waitFor();
    await page.getByText("npx posthouse up --demo").waitFor();
    expect(await axe(page)).toEqual([]);

    await register("orders");
    await report("orders", "passing");
    await page.getByText("Nothing is wrong").waitFor();
    expect(await axe(page)).toEqual([]);

    await site.call("PUT", "/v1/config/default/orders/default/keys/app.yaml?reason=raise%20the%20limit", "limit: 3");
    await report("orders", "critical");
    const problems = page.locator(".problems");
    await problems.getByText("No healthy instance").waitFor();
    // The release that came before is beside the problem.
    await problems.getByText("version 1 released").waitFor();
    // Its failing instance is part of the same problem, with the output of the check.
    expect(await problems.locator(":scope > li").count()).toBe(1);
    await problems.getByText("said so").waitFor();
    await page.locator(".timeline .bar.critical").waitFor();
    expect(await axe(page)).toEqual([]);
    await page.locator(".problems").getByRole("link", { name: "orders" }).first().click();
    await page.getByRole("heading", { name: "orders", exact: true }).waitFor();
    expect(new URL(page.url()).pathname).toBe("/ui/services/orders");
  });

  test("charts show the traffic that gateways report, by keyboard too", async () => {
    const counts = { requests: 400, errors: 40, latencyMs: 8_000, buckets: [0, 0, 0, 0, 300, 100] };
    await site.call("POST", "/v1/traffic", { reporter: "gateway-1", routes: [{ route: "orders", ...counts }] });
    const page = await site.open("/ui/");
    const chart = page.getByRole("slider", { name: "Requests per second" });
    await chart.waitFor();
    await page.locator(".u-over").nth(2).waitFor();
    await chart.focus();
    const before = await chart.getAttribute("aria-valuetext");
    await page.keyboard.press("ArrowLeft");
    expect(await chart.getAttribute("aria-valuetext")).not.toBe(before);
    const table = page.getByRole("table", { name: "Requests per second" });
    expect(await table.locator("tbody tr").count()).toBe(60);
    expect(await axe(page)).toEqual([]);
  });

  test("changes are filtered by what they are about", async () => {
    const page = await site.open("/ui/");
    const list = page.locator(".changes");
    await list.getByText("version 1 released").waitFor();
    await list.getByText("registered").waitFor();
    await page.getByRole("button", { name: "Releases" }).click();
    await expect.poll(() => list.getByText("registered").count()).toBe(0);
    expect(new URL(page.url()).searchParams.get("changes")).toBe("releases");
  });

  test("on a phone, in Chinese and dark", async () => {
    const page = await site.open("/ui/", { language: "zh", theme: "dark", width: 360, height: 780 });
    await page.getByText("没有健康的实例").first().waitFor();
    await page.locator(".u-over").nth(2).waitFor();
    await page.getByText("发布了版本 1").first().waitFor();
    expect(await overflow(page)).toBeLessThanOrEqual(0);
    expect(await axe(page)).toEqual([]);
  });

  test("shows what changed between its first look and the start of the feed", async () => {
    await register("slow");
    await report("slow", "critical");
    const page = await site.openSignedOut("/ui/");
    // Without the worker that tabs share, the stream is the page's own, so that it can be held back.
    await page.addInitScript("delete self.SharedWorker");
    const feed = Promise.withResolvers<void>();
    await page.route("**/v1/feed", async (route) => {
      await feed.promise;
      await route.continue();
    });
    await page.request.post(`${site.base}/ui/api/session`, { data: { token: site.control.token } });
    await page.goto(`${site.base}/ui/`);
    const problem = page.locator(".problems > li").filter({ hasText: "slow" });
    await problem.waitFor();
    await report("slow", "passing");
    feed.resolve();
    await problem.waitFor({ state: "detached" });
  });
});
