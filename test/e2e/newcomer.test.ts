/**
 * The first five minutes of a newcomer, in a real browser: start with --demo in an empty folder, open the printed link, see the demo's
 * services, kill one and see why it is red, change a route, try it in the tester, and roll it back.
 */
import { cpSync, existsSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { call, eventually, type Posthouse, projectRoot, startPosthouse, tempFolder } from "#test/kit";
import { axe, builtConsole, hasBrowser, launchBrowser } from "../console/kit.ts";

/** Where `npm ci` puts the console of a checkout. */
const INSTALLED = join(projectRoot, "node_modules", ".cache", "posthouse", "console");
/** Milliseconds that the browser waits for an element: patience on a busy machine, not a claim. */
const PATIENCE_MS = 60_000;

test.runIf(hasBrowser)("from the start to a released and rolled back route", { timeout: 600_000 }, async () => {
  await installConsole();
  await using data = await tempFolder();
  const begunMs = performance.now();
  await using posthouse = await startPosthouse({ data: data.path, cwd: data.path, args: ["--demo"] });
  const browser = await launchBrowser();
  await using _ = { [Symbol.asyncDispose]: () => browser.close() };
  const context = await browser.newContext({
    viewport: { width: 1440, height: 900 },
    locale: "en-US",
    reducedMotion: "reduce",
  });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const failures: string[] = [];
  page.on("pageerror", (error) => failures.push(error.stack ?? error.message));

  await page.goto(signInLink(posthouse));
  await page.getByRole("heading", { name: "Nothing is wrong" }).waitFor();
  await seesDemo(page);
  console.log(
    `from the start of the program to a green console: ${((performance.now() - begunMs) / 1000).toFixed(1)} s`,
  );
  // The link works once, and the code is neither in the address nor in the history.
  expect(page.url()).not.toContain("code=");

  await seesDeath(page, posthouse);
  await changesRoute(page, posthouse);
  await rollsBack(page, posthouse);
  expect(failures).toEqual([]);
});

/** Puts the console of the present sources where the program finds it. Its files are named by content, so running programs keep working. */
async function installConsole(): Promise<void> {
  const built = await builtConsole();
  const page = (folder: string) => readFileSync(join(folder, "index.html"), "utf8");
  if (existsSync(join(INSTALLED, "index.html")) && page(INSTALLED) === page(built)) return;
  const next = `${INSTALLED}.${process.pid}`;
  cpSync(built, next, { recursive: true });
  rmSync(INSTALLED, { recursive: true, force: true });
  renameSync(next, INSTALLED);
}

function signInLink(posthouse: Posthouse): string {
  const link = /^ {2}sign in +(\S+)/m.exec(posthouse.output())?.[1];
  expect(link, posthouse.output()).toBeDefined();
  return link ?? "";
}

/** The three services of the demo, all passing. */
async function seesDemo(page: Page): Promise<void> {
  await page.getByRole("link", { name: "Services", exact: true }).click();
  for (const name of ["riders", "horses", "dispatches"]) {
    await page.getByRole("row").filter({ hasText: name }).getByText("Passing").waitFor();
  }
  expect(await axe(page)).toEqual([]);
}

/** A killed process turns its service red, and the check's output says why. */
async function seesDeath(page: Page, posthouse: Posthouse): Promise<void> {
  const answer = await eventually("the gateway answers", async () => {
    const one = await call(`${posthouse.gateway}/horses`);
    return one.status === 200 ? one : undefined;
  });
  process.kill(Number(answer.json["pid"]), "SIGKILL");
  const row = page.getByRole("row").filter({ hasText: "horses" });
  await row.getByText("Down").waitFor();
  await row.getByRole("link", { name: "horses" }).click();
  await page.getByRole("row").filter({ hasText: "horses-1" }).click();
  const panel = page.getByRole("dialog");
  await panel.getByText("Critical").first().waitFor();
  await panel.getByText("ECONNREFUSED").first().waitFor();
  expect(await axe(page)).toEqual([]);
  await page.keyboard.press("Escape");
  expect((await call(`${posthouse.gateway}/horses`)).status).toBeGreaterThanOrEqual(500);
}

/** One of the tabs of the pages about routes. */
function part(page: Page, name: string) {
  return page.getByRole("navigation", { name: "Parts of routes" }).getByRole("link", { name, exact: true });
}

async function changesRoute(page: Page, posthouse: Posthouse): Promise<void> {
  expect((await call(`${posthouse.gateway}/couriers`)).status).toBe(404);
  await page.getByRole("link", { name: "Routes", exact: true }).click();
  await page.getByRole("row").filter({ hasText: "riders" }).waitFor();
  await part(page, "Edit").click();
  const editor = page.locator(".cm-content");
  await editor.waitFor();
  await editor.fill("routes:\n  - { name: riders, match: { path: { prefix: /couriers } }, service: riders }\n");
  await page.getByText("Valid: 1 route").waitFor();
  await page.getByRole("button", { name: "Review and release…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Reason").fill("riders are couriers now");
  await dialog.getByRole("button", { name: "Release", exact: true }).click();
  await page.getByText("As released").waitFor();

  await part(page, "Test a request").click();
  await page.getByLabel("URL").fill("http://127.0.0.1/couriers/7");
  await page.getByRole("button", { name: "Explain" }).click();
  await page.getByText("Forwarded to riders").waitFor();
  await eventually("the gateway does what the tester says", async () => {
    const { status, json } = await call(`${posthouse.gateway}/couriers/7`);
    return status === 200 && json["service"] === "riders";
  });
}

async function rollsBack(page: Page, posthouse: Posthouse): Promise<void> {
  await part(page, "Releases").click();
  const row = page.getByRole("row").filter({ hasText: "demo" });
  await row.getByRole("button", { name: "Roll back…" }).click();
  const dialog = page.getByRole("dialog");
  // The dialog grows when it has the difference, and its buttons move.
  await dialog.getByRole("heading", { name: "gateway.yaml" }).waitFor();
  await dialog.getByRole("button", { name: "Roll back", exact: true }).click();
  await dialog.waitFor({ state: "detached" });
  await eventually("the old route works again", async () => {
    const [old, now] = await Promise.all([call(`${posthouse.gateway}/riders`), call(`${posthouse.gateway}/couriers`)]);
    return old.status === 200 && now.status === 404;
  });
}
