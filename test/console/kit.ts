/**
 * The console in a real browser: a control API on a real socket, the built console, and Chromium. One of each per file; pages are cheap.
 * A bare machine has no Chromium: then these tests are skipped, and say so.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { AddressInfo } from "node:net";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { expect } from "vitest";
import { buildConsole } from "../../scripts/console.ts";
import { projectRoot, withControl, type TestControl, type TestControlOptions } from "../kit/mod.ts";

const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
const BUILDS = join(projectRoot, "node_modules", ".cache", "posthouse", "console-tests");
const AXE = join(projectRoot, "node_modules", "axe-core", "axe.min.js");
/** Milliseconds after which a build of other sources is removed. */
const OLD_BUILD_MS = 3_600_000;
/** Milliseconds that the browser waits for an element: patience on a busy machine, not a claim. */
const PATIENCE_MS = 60_000;

const VIOLATION = "policy violation:";
/**
 * Reports violations of the content security policy. Chromium itself adds a style attribute when typed text replaces highlighted code; the
 * policy refuses it, nothing is lost, and it has no source.
 */
const REPORT_VIOLATIONS = `document.addEventListener("securitypolicyviolation", (event) => {
  if (event.effectiveDirective === "style-src-attr" && event.sourceFile === "") return;
  console.log("${VIOLATION}", event.effectiveDirective, event.blockedURI, event.sourceFile, event.lineNumber);
})`;

export const hasBrowser = existsSync(CHROMIUM);
if (!hasBrowser) console.warn(`no Chromium at ${CHROMIUM}: the browser tests of the console are skipped`);

export interface ConsoleView {
  readonly language?: "en" | "zh";
  readonly theme?: "light" | "dark";
  readonly width?: number;
  readonly height?: number;
  /** Another token than the operator's. */
  readonly token?: string;
}

export interface TestConsole extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`. */
  readonly base: string;
  readonly control: TestControl;
  /** A call of the operator, which must succeed. */
  call(method: string, path: string, body?: unknown): Promise<Record<string, unknown>>;
  /** A page of a browser that has signed in, such as `/ui/services`. Its errors fail the test when the console is closed. */
  open(path: string, view?: ConsoleView): Promise<Page>;
  /** The same without signing in. */
  openSignedOut(path: string, view?: ConsoleView): Promise<Page>;
}

/** Debian's Chromium. The browser's own sandbox needs rights that a build machine may not give. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
}

/** `options`: for pages about more than the control API itself has. */
export async function startConsole(options: TestControlOptions = {}): Promise<TestConsole> {
  await using stack = new AsyncDisposableStack();
  const control = stack.use(await withControl({ ...options, consoleFolder: await builtConsole() }));
  await control.app.listen({ port: 0, host: "127.0.0.1" });
  const base = `http://127.0.0.1:${(control.app.server.address() as AddressInfo).port}`;
  const browser = await launchBrowser();
  stack.defer(() => browser.close());
  const errors: string[] = [];
  const owned = stack.move();
  const openSignedOut = async (path: string, view: ConsoleView = {}) => {
    const context = await newContext(browser, view);
    return openPage(context, base + path, errors);
  };
  return {
    base,
    control,
    async call(method, path, body) {
      const { status, json } = await control.call(method, path, body);
      expect(status, JSON.stringify(json)).toBeLessThan(300);
      return json;
    },
    openSignedOut,
    async open(path, view = {}) {
      const context = await newContext(browser, view);
      const answer = await context.request.post(`${base}/ui/api/session`, {
        data: { token: view.token ?? control.token },
      });
      expect(answer.status(), await answer.text()).toBeLessThan(300);
      return openPage(context, base + path, errors);
    },
    async [Symbol.asyncDispose]() {
      await owned.disposeAsync();
      expect(errors).toEqual([]);
    },
  };
}

function newContext(browser: Browser, view: ConsoleView): Promise<BrowserContext> {
  const { language = "en", theme = "light", width = 1440, height = 900 } = view;
  return browser.newContext({
    viewport: { width, height },
    locale: language === "zh" ? "zh-CN" : "en-US",
    colorScheme: theme,
    reducedMotion: "reduce",
  });
}

async function openPage(context: BrowserContext, url: string, errors: string[]): Promise<Page> {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on("pageerror", (error) => errors.push(`${url}: ${error.stack ?? error.message}`));
  page.on("console", (message) => {
    if (message.text().startsWith(VIOLATION)) errors.push(`${url}: ${message.text()}`);
  });
  await page.addInitScript(REPORT_VIOLATIONS);
  await page.goto(url);
  return page;
}

/** Violations of accessibility rules, each with its places. */
export async function axe(page: Page): Promise<readonly string[]> {
  await page.evaluate(readFileSync(AXE, "utf8"));
  // Preloading copies style sheets into another document without their nonce, which the content security policy reports.
  const violations = await page.evaluate<readonly string[]>(
    "axe.run(document, { preload: false, resultTypes: ['violations'] }).then(({ violations }) => violations.map(({ id, nodes }) => " +
      "`${id}: ${nodes.map(({ html }) => html.slice(0, 160)).slice(0, 3).join(' | ')}`))",
  );
  return violations;
}

/** Milliseconds for the layout of a page to settle on a busy machine. */
const SETTLED_MS_MAX = 5_000;
/** Milliseconds between two looks at it. */
const SETTLED_LOOK_MS = 50;

/** Pixels by which the page is wider than its window. */
export async function overflow(page: Page): Promise<number> {
  const begun = performance.now();
  for (;;) {
    const pixels = await page.evaluate<number>(
      "document.documentElement.scrollWidth - document.documentElement.clientWidth",
    );
    if (pixels <= 0 || performance.now() - begun > SETTLED_MS_MAX) return pixels;
    await page.waitForTimeout(SETTLED_LOOK_MS);
  }
}

/** The console, built from the present sources once for all test files. */
export async function builtConsole(): Promise<string> {
  const folder = join(BUILDS, stampOf(join(projectRoot, "console")));
  if (existsSync(folder)) return folder;
  mkdirSync(BUILDS, { recursive: true });
  removeOldBuilds();
  const unfinished = `${folder}.${process.pid}`;
  await buildConsole(unfinished);
  try {
    renameSync(unfinished, folder);
  } catch {
    // Another test file was faster.
    rmSync(unfinished, { recursive: true, force: true });
  }
  return folder;
}

/** Changes with every file of the console. */
function stampOf(folder: string): string {
  const hash = createHash("sha256");
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" }).sort()) {
    const { mtimeMs, size } = statSync(join(folder, name));
    hash.update(`${name} ${mtimeMs} ${size}\n`);
  }
  return hash.digest("hex").slice(0, 16);
}

function removeOldBuilds(): void {
  for (const name of readdirSync(BUILDS)) {
    const path = join(BUILDS, name);
    if (Date.now() - statSync(path).mtimeMs > OLD_BUILD_MS) rmSync(path, { recursive: true, force: true });
  }
}
