/** The config pages in a browser: the life of a change from its draft to its rollback, with reviews, conflicts and flags. */
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ownKeyFile } from "#config-server";
import { flagsReleaseCheck } from "#flags";
import { eventually, tempFolder, testHost } from "../kit/mod.ts";
import { axe, hasBrowser, overflow, startConsole, type TestConsole } from "./kit.ts";

const SET = "/v1/config/default/orders/default";
const PAGE = "/ui/config/default/orders/default";
const SCHEMA = JSON.stringify({
  properties: { pool: { properties: { size: { type: "integer", minimum: 1 } } } },
});
const FLAGS = `flags:
  checkout:
    variants: { on: true, off: false }
    defaultVariant: off
    rules: [{ name: staff, when: { attribute: email, endsWith: "@example.com" }, variant: on }]
`;
const yaml = (value: string) => ({ format: "yaml", value });

describe.runIf(hasBrowser)("the config pages", () => {
  let site: TestConsole;
  const folders = new AsyncDisposableStack();
  let ann = "";
  beforeAll(async () => {
    const folder = await tempFolder();
    const secretKeys = ownKeyFile(testHost(), join(folder.path, "secret-keys"));
    // The folder goes after the console, which reads it.
    folders.use(folder);
    site = await startConsole({ secretKeys, releaseChecks: [flagsReleaseCheck] });
    await site.call("POST", "/v1/config/default/shared/default/releases", {
      items: { "db.yaml": yaml("host: db.example\n") },
    });
    await site.call("POST", `${SET}/releases`, {
      reason: "first release",
      items: {
        "imports.yaml": yaml("- shared\n"),
        "app.yaml": { ...yaml("pool:\n  size: 5\nmode: eager\nurl: ${db.yaml#host}\n"), expand: true },
        "app.yaml.schema.json": { format: "json", value: SCHEMA },
        "flags.yaml": yaml(FLAGS),
        "password.txt": { format: "text", value: "correct horse", secret: true },
      },
    });
    ann = String((await site.call("POST", "/v1/tokens", { name: "ann", policies: ["editor"] }))["token"]);
  });
  afterAll(async () => {
    await site[Symbol.asyncDispose]();
    await folders.disposeAsync();
  });

  const liveText = async (key = "app.yaml") => {
    const { json } = await site.control.call("GET", SET);
    return (json["items"] as Record<string, { value: string }>)[key]?.value ?? "";
  };
  const newest = async () => {
    const { releases } = await site.call("GET", `${SET}/releases?limit=1`);
    return (releases as Record<string, unknown>[])[0] ?? {};
  };

  /** Replaces the text of the editor that is shown. */
  async function write(page: Page, text: string): Promise<void> {
    await page.locator('.code[data-state="ready"] .cm-content[contenteditable="true"]').press("ControlOrMeta+a");
    await page.keyboard.insertText(text);
  }
  const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });

  test("finds a value by its text, and shows where each value comes from", async () => {
    const page = await site.open("/ui/config");
    await page.getByRole("searchbox", { name: "Search keys and values" }).fill("db.example");
    await page.getByRole("link", { name: "default/shared/default" }).click();
    await page.getByText("host: db.example").waitFor();
    await page.goto(`${site.base}${PAGE}?key=db.yaml`);
    await page.getByText("Imported from another app").waitFor();
    await page.getByRole("row").filter({ hasText: "app.yaml" }).first().click();
    // As instances receive it, with the placeholder filled in.
    await page.getByText("url: db.example").waitFor();
    await button(page, "As written").click();
    await page.getByText("url: ${db.yaml#host}").waitFor();
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "Export" }).click(),
    ]);
    expect(download.suggestedFilename()).toContain(".zip");
    expect(await axe(page)).toEqual([]);

    await page.getByRole("row").filter({ hasText: "password.txt" }).click();
    await button(page, "Reveal").click();
    await page.getByRole("dialog").getByLabel("Reason").fill("the login fails");
    await page.getByRole("dialog").getByRole("button", { name: "Reveal" }).click();
    await page.getByText("correct horse").waitFor();
    await button(page, "Hide").click();
    await page.getByText("correct horse").waitFor({ state: "detached" });
    const { records } = await site.call("GET", "/v1/config-audit");
    expect(records).toMatchObject([{ who: "operator", key: "password.txt", reason: "the login fails" }]);
  });

  test("checks a value while it is typed, and releases it with a reason", async () => {
    const page = await site.open(`${PAGE}?edit=app.yaml`);
    await write(page, "pool:\n");
    await page.keyboard.type("  si");
    await page.getByRole("option", { name: "size" }).click();
    await page.keyboard.type("0");
    await page.getByText("Line 2, column 9").waitFor();
    await page.getByText("1 problem").waitFor();
    expect(await button(page, "Review and release…").getAttribute("aria-disabled")).toBe("true");
    await write(page, "pool:\n  size: 7\nmode: eager\n");
    await page.getByText("Valid", { exact: true }).waitFor();
    // Tab indents; after Escape it leaves the editor.
    await page.keyboard.press("Escape");
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.closest('.cm-editor')")).toBeNull();
    await button(page, "Review and release…").click();
    const dialog = page.getByRole("dialog");
    await dialog.locator(".cm-changedText").first().waitFor();
    expect(await axe(page)).toEqual([]);
    await dialog.getByLabel("Reason").fill("a larger pool");
    await dialog.getByRole("button", { name: "Release", exact: true }).click();
    await dialog.waitFor({ state: "detached" });
    await eventually("the release is live", async () => (await liveText()).includes("size: 7"));
    expect(await newest()).toMatchObject({ author: "operator", reason: "a larger pool" });
    await page.getByText("Version 2", { exact: true }).first().waitFor();
  });

  test("drafts are proposed, approved by another person and published", async () => {
    const page = await site.open(`${PAGE}?edit=app.yaml`, { token: ann });
    await write(page, "pool:\n  size: 9\nmode: eager\n");
    await button(page, "Save draft").click();
    await button(page, "Propose…").click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Reason").fill("for the evening");
    await dialog.getByRole("button", { name: "Propose", exact: true }).click();
    await page.getByText("You wrote this proposal", { exact: false }).waitFor();
    // An editor may not publish, and the control says why.
    expect(await button(page, "Publish…").getAttribute("title")).toContain("config:publish");

    const reviewer = await site.open(`${PAGE}?tab=review`);
    await reviewer.getByRole("link", { name: "for the evening" }).click();
    await button(reviewer, "Approve").click();
    await reviewer.getByRole("dialog").getByLabel("Comment").fill("measured");
    await reviewer.getByRole("dialog").getByRole("button", { name: "Approve" }).click();
    await reviewer.getByText("measured").waitFor();
    await button(reviewer, "Publish…").click();
    await reviewer.getByRole("dialog").getByRole("button", { name: "Release", exact: true }).click();
    await eventually("the proposal is live", async () => (await liveText()).includes("size: 9"));
    expect(await newest()).toMatchObject({ reason: "for the evening", approvedBy: ["operator"] });
  });

  test("another release during an edit is shown, and both changes are combined", async () => {
    await site.call("PUT", `${SET}/keys/app.yaml`, "pool:\n  size: 1\nmode: eager\nlevel: info\n");
    await site.call("PUT", `${SET}/drafts/app.yaml`, { value: "pool:\n  size: 2\nmode: eager\nlevel: info\n" });
    await site.call("PUT", `${SET}/keys/app.yaml`, "pool:\n  size: 1\nmode: eager\nlevel: debug\n");
    const page = await site.open(`${PAGE}?edit=app.yaml`);
    const notice = page.getByRole("alert").filter({ hasText: "was released while you were editing" });
    await notice.getByRole("button", { name: "Take the combination" }).click();
    await notice.waitFor({ state: "detached" });
    await button(page, "Review and release…").click();
    await page.getByRole("dialog").getByRole("button", { name: "Release", exact: true }).click();
    await eventually(
      "both are live",
      async () => (await liveText()) === "pool:\n  size: 2\nmode: eager\nlevel: debug\n",
    );
    await eventually("the draft is gone", async () => {
      const { drafts } = await site.call("GET", `${SET}/drafts`);
      return (drafts as unknown[]).length === 0;
    });
  });

  test("a rollback shows what it changes and publishes the old content", async () => {
    const page = await site.open(`${PAGE}?tab=history`);
    await button(page, "Roll back to 1…").click();
    const dialog = page.getByRole("dialog");
    await dialog.locator(".cm-changedText").first().waitFor();
    await dialog.getByLabel("Reason").fill("as it was");
    await dialog.getByRole("button", { name: "Roll back", exact: true }).click();
    await eventually("version 1 is live again", async () => (await liveText()).includes("size: 5"));
    expect(await newest()).toMatchObject({ rollbackOf: 1, reason: "as it was" });
    await page.getByText("Rollback to 1").first().waitFor();
  });

  test("a gradual release is begun, shows its stages, and is aborted", async () => {
    const page = await site.open(`${PAGE}?edit=app.yaml`);
    await write(page, "pool:\n  size: 50\n");
    await button(page, "Review and release…").click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Gradual release" }).click();
    await dialog.getByLabel("Selects").selectOption("labels");
    await dialog.getByLabel("Labels").fill("zone=eu");
    await dialog.getByRole("button", { name: "Start the rollout" }).click();
    await dialog.waitFor({ state: "detached" });
    await page.goto(`${site.base}${PAGE}?tab=rollout`);
    await page.getByText("zone=eu").first().waitFor();
    await button(page, "Abort").click();
    await dialog.getByLabel("Reason").fill("not today");
    await dialog.getByRole("button", { name: "Abort", exact: true }).click();
    await page.getByText("not today", { exact: false }).first().waitFor();
    await page.getByText("Rolled back", { exact: true }).first().waitFor();
  });

  test("flags are evaluated for a context, with the rule that decided", async () => {
    const page = await site.open(`${PAGE}?tab=flags`);
    const row = page.getByRole("row").filter({ hasText: "checkout" });
    await row.getByText("A rule matched").waitFor();
    await write(page, '{ "targetingKey": "bob" }');
    await row.getByText("No rule matched").waitFor();
    expect(await axe(page)).toEqual([]);
  });

  test("a new set begins with its first key, and rules are changed", async () => {
    const page = await site.open("/ui/config");
    await button(page, "New set").click();
    await page.getByRole("dialog").getByLabel("App").fill("billing");
    await button(page, "Write its first key").click();
    await write(page, "currency: CHF\n");
    await button(page, "Review and release…").click();
    await page.getByRole("dialog").getByRole("button", { name: "Release", exact: true }).click();
    await page.getByText("currency: CHF").first().waitFor();
    await page.goto(`${site.base}/ui/config`);
    await button(page, "Rules of default").click();
    await page.getByLabel("Review").selectOption("required");
    await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
    await page.getByText("Review required").waitFor();
    expect(await site.call("GET", "/v1/config/default/rules")).toMatchObject({ review: "required" });
    await site.call("PUT", "/v1/config/default/rules", { review: "optional" });
  });

  test("every view in Chinese, dark and 360 pixels wide", async () => {
    const page = await site.open(PAGE, { language: "zh", theme: "dark", width: 360, height: 900 });
    for (const tab of ["values", "review", "history", "rollout", "subscribers", "compare", "flags"]) {
      await page.goto(`${site.base}${PAGE}?tab=${tab}`);
      await page.locator("main .card, main .empty").first().waitFor();
      await expect.poll(() => page.locator(".skeleton").count(), { timeout: 60_000 }).toBe(0);
      expect([tab, await axe(page), await overflow(page)]).toEqual([tab, [], 0]);
    }
  });
});
