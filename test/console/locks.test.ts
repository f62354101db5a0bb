/** The pages of locks in a browser: the list with its tree, one lock, and breaking it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { axe, hasBrowser, overflow, startConsole, type TestConsole } from "./kit.ts";

const LONG = "payments/reconciliation-worker-for-cross-border-settlements-v2/leader";
const PATIENT = { timeout: 60_000 };

describe.runIf(hasBrowser)("the pages of locks", () => {
  let site: TestConsole;
  let sessions: readonly string[];
  beforeAll(async () => {
    site = await startConsole();
    sessions = await Promise.all([newSession(), newSession(), newSession()]);
    await acquire("orders/leader", 0, { value: "10.0.0.1:80", lockDelaySeconds: 0 });
    await acquire("orders/leader", 1, { value: "10.0.0.2:80" });
    await acquire("orders/leader", 2);
    await acquire("nightly/backup", 1);
    await acquire(LONG, 1);
  });
  afterAll(() => site[Symbol.asyncDispose]());

  async function newSession(): Promise<string> {
    const { json } = await site.control.call("POST", "/v1/sessions", { ttlSeconds: 300 });
    return String(json["id"]);
  }
  async function acquire(name: string, session: number, more: Record<string, unknown> = {}) {
    const path = `/v1/locks/${encodeURIComponent(name)}`;
    const { status, json } = await site.control.call("PUT", path, { session: sessions[session], ...more });
    expect(status, JSON.stringify(json)).toBe(200);
  }

  test("the list follows locks live, and its tree narrows it", async () => {
    const page = await site.open("/ui/locks");
    const names = page.locator(".table .line .cell.name");
    await expect.poll(() => names.allInnerTexts(), PATIENT).toEqual(["nightly/backup", "orders/leader", LONG]);
    await acquire("scheduler", 2);
    await expect.poll(() => names.allInnerTexts(), PATIENT).toContain("scheduler");
    expect(await axe(page)).toEqual([]);
    const tree = page.getByRole("navigation", { name: "Names below" });
    await tree.getByRole("button", { name: "orders" }).click();
    await expect.poll(() => names.allInnerTexts(), PATIENT).toEqual(["orders/leader"]);
    expect(page.url()).toContain("prefix=orders");
    await tree.getByRole("button", { name: "All" }).click();
    await page.getByLabel("Filter").fill("10.0.0.1");
    await expect.poll(() => names.allInnerTexts(), PATIENT).toEqual(["orders/leader"]);
  });

  test("a lock shows its holder and queue; breaking it needs a reason and gives it to the next session", async () => {
    const page = await site.open("/ui/locks/orders%2Fleader");
    await page.getByText("10.0.0.1:80").waitFor();
    const queue = page.getByRole("table", { name: "Queue" });
    expect(await queue.getByRole("row").count()).toBe(3);
    expect(await queue.getByRole("row").nth(1).innerText()).toContain("10.0.0.2:80");
    await page.getByRole("button", { name: "Break", exact: true }).click();
    const dialog = page.getByRole("dialog");
    const confirm = dialog.getByRole("button", { name: "Break", exact: true });
    expect(await confirm.getAttribute("aria-disabled")).toBe("true");
    await dialog.getByLabel("Reason").fill("the host is gone");
    expect(await axe(page)).toEqual([]);
    await confirm.click();
    await page.getByText("the host is gone").waitFor();
    await expect.poll(() => queue.getByRole("row").count(), PATIENT).toBe(2);
    const { json } = await site.control.call("GET", "/v1/locks/orders%2Fleader");
    expect(json["holder"]).toMatchObject({ session: sessions[1], value: "10.0.0.2:80" });
    expect(await axe(page)).toEqual([]);
  });

  test("a reader cannot break a lock, and sees why", async () => {
    const { token } = await site.control.client.access.issueToken({ name: "reader", policies: ["viewer"] });
    const page = await site.open("/ui/locks/nightly%2Fbackup", { token });
    const button = page.getByRole("button", { name: "Break", exact: true });
    await button.waitFor();
    expect(await button.getAttribute("title")).toContain("locks:break");
  });

  test("in Chinese, dark, on a phone, with and without locks", async () => {
    const view = { language: "zh", theme: "dark", width: 360, height: 740 } as const;
    const page = await site.open("/ui/locks", view);
    for (const [path, text] of [
      ["", LONG],
      [`/${encodeURIComponent(LONG)}`, "没有会话在等待这个锁。"],
      ["?namespace=empty", "当前没有锁"],
    ] as const) {
      await page.goto(`${site.base}/ui/locks${path}`);
      await page.getByText(text).first().waitFor();
      expect([path, await overflow(page)]).toEqual([path, 0]);
      expect([path, await axe(page)]).toEqual([path, []]);
    }
  });
});
