/** The parts of the page Access beside tokens, in a browser: policies, bindings, questions, sign-ins, joins, refusals. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ownKeyFile } from "#config-server";
import { eventually, tempFolder, testHost } from "../kit/mod.ts";
import { axe, hasBrowser, overflow, startConsole, type TestConsole } from "./kit.ts";

const LONG = "payments-reconciliation-worker-for-cross-border-settlements";

describe.runIf(hasBrowser)("the page Access", () => {
  let site: TestConsole;
  let viewer: { id: string; token: string };
  const folders = new AsyncDisposableStack();
  beforeAll(async () => {
    const folder = folders.use(await tempFolder());
    site = await startConsole({ secretKeys: ownKeyFile(testHost(), join(folder.path, "secret-keys")) });
    viewer = (await site.call("POST", "/v1/tokens", { name: LONG, policies: ["viewer"] })) as typeof viewer;
  });
  afterAll(async () => {
    await site[Symbol.asyncDispose]();
    await folders.disposeAsync();
  });

  const statusWith = async (token: string, path = "/v1/services") =>
    (await site.control.call("GET", path, undefined, { authorization: `Bearer ${token}` })).status;

  test("a policy is written as YAML, read as sentences, used, and deleted once it is unused", async () => {
    const page = await site.open("/ui/access?view=policies");
    await page.getByRole("row").filter({ hasText: "operator" }).waitFor();
    await page.getByRole("button", { name: "New policy" }).click();
    const dialog = page.getByRole("dialog");
    await page.keyboard.type("orders-team");
    const editor = dialog.locator(".cm-content");
    await editor.click();
    await page.keyboard.press("Control+A");
    await page.keyboard.insertText(
      'rules:\n  - effect: allow\n    actions: [registry:read, "locks:*"]\n' +
        '  - effect: deny\n    actions: [locks:break]\n    on: { namespace: ["prod*"] }\n',
    );
    await dialog.getByRole("button", { name: "Save policy" }).click();
    const row = page.getByRole("row").filter({ hasText: "orders-team" });
    await row.waitFor();
    expect(await site.call("GET", "/v1/policies/orders-team")).toMatchObject({
      rules: [
        { effect: "allow", actions: ["registry:read", "locks:*"] },
        { effect: "deny", actions: ["locks:break"], on: { namespace: ["prod*"] } },
      ],
    });

    const { id } = (await site.call("POST", "/v1/tokens", { name: "ci", policies: ["orders-team"] })) as { id: string };
    await row.click();
    const panel = page.getByRole("dialog");
    await panel.getByText("release locks of other callers").waitFor();
    await panel.getByText("Namespace: prod*").waitFor();
    await panel.getByText("token ci").waitFor();
    expect(await panel.getByRole("button", { name: "Delete" }).getAttribute("aria-disabled")).toBe("true");
    expect(await axe(page)).toEqual([]);
    await site.call("DELETE", `/v1/tokens/${id}`);
    await panel.getByText("None", { exact: true }).waitFor();
    await panel.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog", { name: "Delete the policy" }).getByRole("button", { name: "Delete" }).click();
    await row.waitFor({ state: "detached" });
  });

  test("a mistake in a policy is shown at its line, or as the server names it", async () => {
    const page = await site.open("/ui/access?view=policies&policy=viewer");
    await page.getByRole("button", { name: "Copy", exact: true }).last().click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("my-viewer");
    await dialog.locator(".cm-content").click();
    await page.keyboard.press("Control+A");
    await page.keyboard.insertText("rules:\n  - effect: allow\n   actions: [registry:read]\n");
    await dialog.getByText("The indentation does not fit").waitFor();
    expect(await dialog.getByRole("button", { name: "Save policy" }).getAttribute("aria-disabled")).toBe("true");
    await page.keyboard.press("Control+A");
    await page.keyboard.insertText("rules:\n  - effect: allow\n    actions: [registry:raed]\n");
    await dialog.getByRole("button", { name: "Save policy" }).click();
    await dialog.getByRole("alert").getByText("registry:raed").waitFor();
  });

  test("a question names the rule that decides, and the rule that is missing", async () => {
    const page = await site.open(`/ui/access?view=check&who=token&token=${viewer.id}&action=registry:read`);
    await page.getByText("Rule 1 of viewer decides").waitFor();
    await page.getByText("Allowed", { exact: true }).waitFor();
    await page.getByLabel("Action").selectOption("config:publish");
    await page.getByLabel("Namespace").last().fill("prod");
    await page.getByText("Not allowed").waitFor();
    await page.getByText("This rule would allow it:").waitFor();
    await page.getByText("Namespace: prod").waitFor();
    expect(await axe(page)).toEqual([]);
    await page.getByRole("button", { name: "Policies" }).click();
    await page.getByLabel("Policies", { exact: true }).last().fill("viewer, publisher");
    await page.getByText("Rule 1 of publisher decides").waitFor();
  });

  test("a group is bound to policies, and the binding removed", async () => {
    const page = await site.open("/ui/access?view=bindings");
    await page.getByText("posthouse binding set group:developers --policy editor").waitFor();
    await page.getByRole("button", { name: "New binding" }).click();
    await page.keyboard.type("developers");
    const dialog = page.getByRole("dialog");
    await dialog.getByText("editor", { exact: true }).click();
    await dialog.getByRole("button", { name: "Save binding" }).click();
    const row = page.getByRole("row").filter({ hasText: "developers" });
    await row.getByText("editor").waitFor();
    expect((await site.call("GET", "/v1/bindings"))["bindings"]).toMatchObject([
      { subject: "group:developers", policies: ["viewer", "editor"] },
    ]);
    await row.getByRole("button", { name: "Remove" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await page.getByText("No bindings yet").waitFor();
  });

  test("one's own sign-in is marked, and another one is ended", async () => {
    const other = await site.open("/ui/services", { token: viewer.token });
    const page = await site.open("/ui/access?view=signins");
    await page.getByRole("row").filter({ hasText: "Yours" }).waitFor();
    const row = page.getByRole("row").filter({ hasText: LONG });
    await row.getByText("Browser").waitFor();
    await row.getByRole("button", { name: "End" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "End" }).click();
    await row.waitFor({ state: "detached" });
    await other.reload();
    await other.getByLabel("Token", { exact: true }).waitFor();
    // The token itself still works.
    expect(await statusWith(viewer.token)).toBe(200);
  });

  test("a join token is shown once, with the whole command, and can be revoked", async () => {
    const page = await site.open("/ui/access?view=join");
    await page.getByText("No join tokens").waitFor();
    await page.getByRole("button", { name: "New join token" }).click();
    await page.keyboard.type("web-1");
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Services").fill("orders");
    await dialog.getByRole("button", { name: "Create join token" }).click();
    await dialog.getByText("it works once").waitFor();
    const command = await dialog.locator(".command code").first().innerText();
    expect(command).toMatch(/^posthouse agent join https:\/\/127\.0\.0\.1:\d+ --join-token phj_\S+ --name web-1$/);
    await dialog.getByRole("button", { name: "Done" }).click();
    await dialog.waitFor({ state: "detached" });
    expect(await page.content()).not.toContain("phj_");
    const row = page.getByRole("row").filter({ hasText: "web-1" });
    await row.getByText("Waiting").waitFor();
    await row.getByText("Services: orders").waitFor();
    await row.getByRole("button", { name: "Revoke" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await row.waitFor({ state: "detached" });
    expect((await site.call("GET", "/v1/join-tokens"))["joinTokens"]).toEqual([]);
  });

  test("a refusal is shown with its caller and reason", async () => {
    expect(await statusWith(viewer.token, "/v1/tokens")).toBe(403);
    const page = await site.open("/ui/access?view=denials");
    const row = page.getByRole("row").filter({ hasText: LONG }).first();
    await row.getByText("access:manage").waitFor();
    await row.getByText("403").waitFor();
    expect(await axe(page)).toEqual([]);
  });

  test.each(["policies", "bindings", "check&action=config:read", "signins", "join", "denials"])(
    "on a phone, in Chinese and dark, it fits and reads well: %s",
    async (view) => {
      const page = await site.open(`/ui/access?view=${view}`, {
        language: "zh",
        theme: "dark",
        width: 360,
        height: 780,
      });
      await page.locator("section.card").first().waitFor();
      await eventually("it is loaded", async () => (await page.locator(".skeleton").count()) === 0);
      expect(await overflow(page)).toBeLessThanOrEqual(0);
      expect(await axe(page)).toEqual([]);
    },
  );
});
