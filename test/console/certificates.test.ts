/** The page of certificates in a browser: before there is an authority, what it issued, its rotation, its nodes. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ownKeyFile } from "#config-server";
import { requestFor } from "../identity/kit.ts";
import { eventually, tempFolder, testHost } from "../kit/mod.ts";
import { axe, hasBrowser, overflow, startConsole, type TestConsole } from "./kit.ts";

const LONG = "warehouse-terminal-with-a-rather-long-host-name-building-7";

describe.runIf(hasBrowser)("the page of certificates", () => {
  let site: TestConsole;
  let folder = "";
  const folders = new AsyncDisposableStack();
  beforeAll(async () => {
    const temp = folders.use(await tempFolder());
    folder = temp.path;
    site = await startConsole({ secretKeys: ownKeyFile(testHost(), join(folder, "secret-keys")) });
  });
  afterAll(async () => {
    await site[Symbol.asyncDispose]();
    await folders.disposeAsync();
  });

  const call = (method: string, path: string, body?: unknown) => site.control.call(method, path, body);

  async function joinNode(name: string) {
    const { json } = await call("POST", "/v1/join-tokens", { kind: "agent", name, services: ["orders"] });
    const { pem: csr } = await requestFor(folder, []);
    const joined = await site.control.app.inject({
      method: "POST",
      url: "/v1/joins",
      payload: { token: json["token"], csr },
    });
    expect(joined.statusCode, joined.payload).toBeLessThan(300);
  }

  test("says how an authority comes about, then lists what it issued and revokes it", async () => {
    const page = await site.open("/ui/certificates");
    await page.getByText("No certificate authority yet").waitFor();
    await page.getByText("posthouse join-token create --kind agent").waitFor();

    await joinNode("web-1");
    await joinNode(LONG);
    await page.reload();
    await page.getByText("Ready", { exact: true }).waitFor();
    const row = page.getByRole("row").filter({ hasText: "web-1" });
    await row.getByText("Valid").waitFor();
    expect(await axe(page)).toEqual([]);
    await row.click();
    const panel = page.getByRole("dialog");
    await panel.getByText("spiffe://posthouse/agent/web-1").waitFor();
    await panel.getByRole("button", { name: "Revoke" }).click();
    await page.getByText("Revoke the certificate of “web-1”?").waitFor();
    await page.getByRole("dialog", { name: "Revoke the certificate" }).getByRole("button", { name: "Revoke" }).click();
    await row.getByText("Revoked").waitFor();
    const { json } = await call("GET", "/v1/certificates");
    const revoked = (json["certificates"] as { spiffeId: string; revoked?: object }[]).filter((one) => one.revoked);
    expect(revoked.map(({ spiffeId }) => spiffeId)).toEqual(["spiffe://posthouse/agent/web-1"]);
  });

  test("rotates the root, and shows the phase and both fingerprints", async () => {
    const page = await site.open("/ui/certificates?view=authority");
    await page.getByRole("row").filter({ hasText: "Root" }).getByText("Issuing").waitFor();
    await page.getByRole("button", { name: "Rotate…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Root" }).click();
    await dialog.getByText("A new root in two phases").waitFor();
    expect(await axe(page)).toEqual([]);
    await dialog.getByRole("button", { name: "Start rotation" }).click();
    await page.getByText("Rotation of the root is under way").waitFor();
    await page.getByRole("row").filter({ hasText: "Announced" }).first().waitFor();
    expect(await page.getByRole("button", { name: "Rotate…" }).getAttribute("aria-disabled")).toBe("true");
    const { json } = await call("GET", "/v1/trust-bundle");
    const prints = json["fingerprints"] as string[];
    expect(prints).toHaveLength(2);
    const shown = page.getByRole("list", { name: "Fingerprint" });
    await eventually("both roots are shown", async () => (await shown.getByRole("listitem").count()) === 2);
    const first = await shown.getByRole("listitem").first().innerText();
    expect(first.replaceAll(/\s/g, "")).toBe(prints[0]);
    expect(await axe(page)).toEqual([]);
  });

  test("a text that is not a certificate cannot be imported; a wrong certificate says why", async () => {
    const page = await site.open("/ui/certificates?view=authority");
    await page.getByRole("button", { name: "Import…" }).click();
    const dialog = page.getByRole("dialog");
    const button = dialog.getByRole("button", { name: "Import", exact: true });
    await dialog.getByLabel("Certificates (PEM)").fill("hello");
    expect(await button.getAttribute("aria-disabled")).toBe("true");
    const pem = (name: string) => `-----BEGIN ${name}-----\nAAAA\n-----END ${name}-----\n`;
    await dialog.getByLabel("Certificates (PEM)").fill(pem("CERTIFICATE"));
    await dialog.getByLabel("Key (PEM, PKCS #8)").fill(pem("PRIVATE KEY"));
    await button.click();
    await dialog
      .getByRole("alert")
      .getByText(/IDENTITY_/)
      .first()
      .waitFor();
  });

  test("removes a node and its rights", async () => {
    const page = await site.open("/ui/certificates?view=nodes");
    const row = page.getByRole("row").filter({ hasText: "web-1" });
    await row.getByText("Services: orders").waitFor();
    await row.getByRole("button", { name: "Remove" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await row.waitFor({ state: "detached" });
    const { json } = await call("GET", "/v1/nodes");
    expect((json["nodes"] as { name: string }[]).map(({ name }) => name)).toEqual([LONG]);
  });

  test("a viewer sees it all and can change nothing", async () => {
    const { json } = await call("POST", "/v1/tokens", { name: "eve", policies: ["viewer"] });
    const page = await site.open("/ui/certificates?view=nodes", { token: String(json["token"]) });
    const row = page.getByRole("row").filter({ hasText: LONG });
    expect(await row.getByRole("button", { name: "Remove" }).getAttribute("aria-disabled")).toBe("true");
  });

  test.each(["", "?view=authority", "?view=nodes"])("on a phone, in Chinese and dark, it fits: %s", async (view) => {
    const page = await site.open(`/ui/certificates${view}`, { language: "zh", theme: "dark", width: 360, height: 780 });
    await page.getByRole("row").nth(1).waitFor();
    expect(await overflow(page)).toBeLessThanOrEqual(0);
    expect(await axe(page)).toEqual([]);
  });
});
