/** The topology in a browser: from the empty state to a graph of reported calls, by pointer, keyboard and as a table. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { axe, hasBrowser, overflow, startConsole, type TestConsole } from "./kit.ts";

const LONG = "payments-reconciliation-worker-for-cross-border-settlements";

describe.runIf(hasBrowser)("the topology", () => {
  let site: TestConsole;
  beforeAll(async () => {
    site = await startConsole();
    for (const service of ["orders", "users", "lonely"]) await register(service);
  });
  afterAll(() => site[Symbol.asyncDispose]());

  async function register(service: string) {
    const path = `/v1/services/${service}/instances/${service}-1`;
    await site.call("PUT", path, { address: "10.0.0.1", port: 8080 });
  }
  async function traffic(edges: readonly { from?: string; to: string; requests: number; errors?: number }[]) {
    const body = {
      reporter: "test",
      edges: edges.map((edge) => ({ ...edge, latencyMs: 10, buckets: [0, 0, edge.requests] })),
    };
    const { status, json } = await site.control.call("POST", "/v1/traffic", body);
    expect(status, JSON.stringify(json)).toBe(204);
  }

  test("an empty graph says how to make traffic, and draws itself when calls are reported", async () => {
    const page = await site.open("/ui/topology");
    await page.getByText("No calls yet").waitFor();
    await page.getByText("curl -s").waitFor();
    expect(await axe(page)).toEqual([]);
    await traffic([
      { to: "orders", requests: 500 },
      { from: "orders", to: "users", requests: 300, errors: 60 },
      { from: "orders", to: LONG, requests: 20 },
    ]);
    const node = page.locator('[data-node="default/orders"]');
    await node.waitFor();
    expect(await page.locator(".graph-edge").count()).toBe(3);
    expect(await page.locator(".graph-edge.bad").count()).toBe(1);
    await page.locator(".alone-service", { hasText: "lonely" }).waitFor();
    await node.hover();
    await page.locator(".call-facts").getByText("20 % errors").waitFor();
    expect(await axe(page)).toEqual([]);

    await page.locator('[data-node="gateway"]').focus();
    await page.keyboard.press("ArrowRight");
    expect(await page.evaluate("document.activeElement.dataset.node")).toBe("default/orders");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "orders", exact: true }).waitFor();
  });

  test("the table has the same calls", async () => {
    const page = await site.open("/ui/topology?view=table");
    await page.getByRole("row").nth(3).waitFor();
    const text = await page.getByRole("row").allInnerTexts();
    expect(text.map((row) => row.replaceAll(/\s+/g, " ")).join("\n")).toMatch(
      /Gateway orders .*\norders users .* 20 %/,
    );
    expect(await axe(page)).toEqual([]);
  });

  test("on a phone, in Chinese and dark; the service's page lists its calls", async () => {
    const page = await site.open("/ui/topology", { language: "zh", theme: "dark", width: 360, height: 780 });
    await page.locator('[data-node="gateway"]').waitFor();
    expect(await overflow(page)).toBeLessThanOrEqual(0);
    expect(await axe(page)).toEqual([]);
    await page.goto(`${site.base}/ui/services/orders?view=calls`);
    await page.getByText("users").first().waitFor();
    await page.getByText("网关").first().waitFor();
    expect(await overflow(page)).toBeLessThanOrEqual(0);
  });
});
