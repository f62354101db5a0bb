/** The page of service rules in a browser: what a rule would deny before it is released, its release, and a test of one call. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serviceRulesReleaseCheck } from "#sidecar/rules";
import { eventually } from "../kit/mod.ts";
import { axe, hasBrowser, overflow, startConsole, type TestConsole } from "./kit.ts";

const SET = "/v1/config/default/posthouse/default";
const LONG = "payments-reconciliation-worker-for-cross-border-settlements";

describe.runIf(hasBrowser)("the page of service rules", () => {
  let site: TestConsole;
  beforeAll(async () => {
    site = await startConsole({ releaseChecks: [serviceRulesReleaseCheck] });
    for (const service of ["orders", "stock", "payments"]) {
      const path = `/v1/services/${service}/instances/${service}-1`;
      await site.call("PUT", path, { address: "10.0.0.1", port: 8080 });
    }
    await traffic("default", [
      { to: "orders", requests: 50 },
      { from: "orders", to: "stock", requests: 40 },
      { from: "web", to: "stock", requests: 3 },
    ]);
    // A caller in another namespace is judged, too.
    await traffic("shop", [{ from: LONG, to: "stock", toNamespace: "default", requests: 7 }]);
    await eventually("the calls are known", async () => (await calls()).length === 4);
  });
  afterAll(() => site[Symbol.asyncDispose]());

  async function traffic(namespace: string, edges: readonly object[]) {
    const { status, json } = await site.control.call("POST", `/v1/traffic?namespace=${namespace}`, {
      reporter: "test",
      edges,
    });
    expect(status, JSON.stringify(json)).toBe(204);
  }
  const answer = async (query = "") =>
    (await site.control.call("GET", `/v1/service-rules?namespace=default${query}`)).json;
  const calls = async () => (await answer())["calls"] as { from: string; to: string; allowed: boolean }[];

  test("says what a rule would deny before it is released, and then denies it", async () => {
    const page = await site.open("/ui/rules");
    await page.getByText("No rules yet").waitFor();
    await page.getByLabel("Caller").first().fill("orders");
    await page.getByLabel("Destination").first().fill("stock");
    await page.getByRole("button", { name: "Add rule" }).click();

    const effect = page.getByRole("region", { name: "Effect of your changes" });
    await effect.getByText("2 observed calls would be denied: 10 requests of the last hour.").waitFor();
    await effect.getByText(`shop/${LONG} → stock, web → stock`).waitFor();
    const row = page.getByRole("row").filter({ hasText: "web" }).filter({ hasText: "stock" });
    await row.getByText("Allowed").waitFor();
    await row.getByText("Denied").waitFor();
    expect(await axe(page)).toEqual([]);
    expect((await calls()).every(({ allowed }) => allowed)).toBe(true);

    await page.getByText("Only report denials").click();
    await effect.getByText("2 observed calls would be reported as denied.").waitFor();
    await page.getByText("Only report denials").click();
    await effect.getByText("2 observed calls would be denied").waitFor();

    await page.getByRole("button", { name: "Release…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.locator(".cm-content").first().waitFor();
    await dialog.getByLabel("Reason").fill("only orders needs stock");
    await dialog.getByRole("button", { name: "Release", exact: true }).click();
    await page.getByText("Service rules released").waitFor();
    await effect.waitFor({ state: "detached" });
    await row.getByText("Denied").waitFor();
    const verdicts = Object.fromEntries((await calls()).map(({ from, to, allowed }) => [`${from} ${to}`, allowed]));
    expect(verdicts).toEqual({
      "gateway orders": true,
      "orders stock": true,
      "web stock": false,
      [`shop/${LONG} stock`]: false,
    });
  });

  test("tests one call, and adds the rule that it lacks", async () => {
    const page = await site.open("/ui/rules");
    const card = page.locator("section.card").filter({ hasText: "Test a call" });
    await card.getByLabel("Caller").fill("payments");
    await card.getByLabel("Destination").fill("stock");
    await card.getByText("Rules are about the destination, and none allows this caller").waitFor();
    await card.getByRole("button", { name: "Add this rule" }).click();
    await card.getByText("The rule “payments may call stock” in line").waitFor();
    await page.getByText("Every observed call gets the same verdict as now.").waitFor();
    await page.getByRole("button", { name: "Remove “payments may call stock”" }).click();
    await page.getByText("Effect of your changes").waitFor({ state: "detached" });
  });

  test("a text with a problem names its line, and cannot be released", async () => {
    const page = await site.open("/ui/rules");
    await page.getByRole("button", { name: "Edit as text" }).click();
    const editor = page.locator(".cm-content");
    await editor.click();
    await page.keyboard.press("Control+End");
    await page.keyboard.type("  - orders can call stock");
    await page.getByRole("region", { name: "Effect of your changes" }).getByText("is not a valid rule").waitFor();
    expect(await page.getByRole("button", { name: "Release…" }).getAttribute("aria-disabled")).toBe("true");
    await page.getByRole("button", { name: "Discard changes" }).click();
    await page.getByText("Effect of your changes").waitFor({ state: "detached" });
  });

  test("a viewer reads the rules and tests a call, and changes nothing", async () => {
    const { json } = await site.control.call("POST", "/v1/tokens", { name: "eve", policies: ["viewer"] });
    const page = await site.open("/ui/rules", { token: String(json["token"]) });
    await page.getByText("1 rule").first().waitFor();
    expect(await page.getByRole("button", { name: "Add rule" }).count()).toBe(0);
    const card = page.locator("section.card").filter({ hasText: "Test a call" });
    await card.getByLabel("Caller").fill("web");
    await card.getByLabel("Destination").fill("stock");
    await card.getByText("Denied").waitFor();
  });

  test("on a phone, in Chinese and dark, it fits and reads well", async () => {
    const released = (await site.control.call("GET", SET)).status;
    expect(released).toBe(200);
    const page = await site.open("/ui/rules?verdict=denied", {
      language: "zh",
      theme: "dark",
      width: 360,
      height: 780,
    });
    await page
      .getByRole("row")
      .filter({ hasText: `shop/${LONG}` })
      .getByText("拒绝")
      .waitFor();
    await page.getByText("没有规则的目标接受所有调用方").waitFor();
    expect(await overflow(page)).toBeLessThanOrEqual(0);
    expect(await axe(page)).toEqual([]);
  });
});
