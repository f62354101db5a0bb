/**
 * Takes the pictures of the console in docs/pictures: starts the product with its demo, runs a sample shop against it, and photographs
 * pages in both languages and themes. `npm run pictures`; `--minutes 20` gives the charts more past, `--only tester` takes one scene.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chromium, type Browser } from "playwright-core";
import { clientHost } from "../client/connect.ts";
import { Client } from "../client/client.ts";
import { fetchTransport } from "../client/transports.ts";
import { buildConsole } from "./console.ts";
import { type Fleet, sendTraffic, startFleet } from "./pictures/fleet.ts";
import { smallPng } from "./pictures/png.ts";
import { LANGUAGES, type Scene, SCENES, THEMES } from "./pictures/scenes.ts";
import { CONFIGS, GATEWAY_CONFIG, PAST_TROUBLE, PRESENT_TROUBLE, ROLLOUT } from "./pictures/shop.ts";

const root = join(import.meta.dirname, "..");
const TARGET = join(root, "docs", "pictures");
const SIZE = { width: 1280, height: 800 };
/** Bytes of a picture, so that the whole of them stays small in a clone. */
const BYTES_MAX = 150_000;
const REQUESTS_PER_SECOND = 8;
/** Milliseconds between the start of trouble and the pictures, at least: checks fail, problems and changes are listed. */
const TROUBLE_MS = 20_000;
const PATIENCE_MS = 60_000;

const { values } = parseArgs({
  options: { minutes: { type: "string", default: "10" }, only: { type: "string" }, chromium: { type: "string" } },
});

interface Product {
  readonly api: string;
  readonly gateway: string;
  readonly token: string;
}

async function startProduct(stack: AsyncDisposableStack): Promise<Product> {
  const data = mkdtempSync(join(tmpdir(), "posthouse-pictures-"));
  stack.defer(() => rmSync(data, { recursive: true, force: true }));
  const ports = ["--port", "--operations-port", "--gateway-port", "--gateway-tls-port", "--agent-port", "--dns-port"];
  const names = ["--gateway-name", "edge-1", "--agent-name", "host-1"];
  const args = [
    "up",
    "--demo",
    "--data",
    data,
    "--log-level",
    "error",
    ...names,
    ...ports.flatMap((port) => [port, "0"]),
  ];
  const child = spawn(process.execPath, [join(root, "bin", "posthouse"), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  stack.defer(() => end(child));
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const find = (pattern: RegExp) => pattern.exec(output)?.[1] ?? "";
  while (!output.includes("demo: three services")) {
    if (child.exitCode !== null) throw new Error(`posthouse did not start: ${output}`);
    await sleep(200);
  }
  return { api: find(/control API +(\S+)/), gateway: find(/gateway +(http:\S+)/), token: find(/^ {2}(ph_\S+)$/m) };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  await once(child, "exit");
}

const set = (app: string) => ({ namespace: "default", app, profile: "default" });
const yaml = (value: string) => ({ format: "yaml", value }) as const;

async function withConfig<T>({ api, token }: Product, use: (config: Client["config"]) => Promise<T>): Promise<T> {
  await using transport = fetchTransport({ urls: [api] });
  return await use(new Client(clientHost(), { transport, token }).config);
}

/** The routes, and of each config its release with this number, if it has so many. */
async function releaseConfigs(product: Product, number: number): Promise<void> {
  await withConfig(product, async (config) => {
    if (number === 0) {
      await config.publish(set("gateway"), {
        items: { "gateway.yaml": yaml(GATEWAY_CONFIG) },
        reason: "routes of the shop",
      });
    }
    for (const [app, releases] of Object.entries(CONFIGS)) {
      const [reason, value] = releases[number] ?? [];
      if (value !== undefined)
        await config.publish(set(app), { items: { "app.yaml": yaml(value) }, reason: reason ?? "" });
    }
  });
}

async function startRollout(product: Product): Promise<void> {
  const { app, reason, value, rollout } = ROLLOUT;
  await withConfig(product, (config) =>
    config.publish(set(app), { items: { "app.yaml": yaml(value) }, reason, rollout }),
  );
}

/** A quiet day in short: releases, an instance that was in trouble and recovered, and what is wrong now. */
async function runShop(product: Product, fleet: Fleet, ms: number): Promise<void> {
  await sleep(ms * 0.3);
  await releaseConfigs(product, 1);
  fleet.setTrouble(PAST_TROUBLE);
  await sleep(ms * 0.1);
  fleet.setTrouble([]);
  await sleep(ms * 0.3);
  await releaseConfigs(product, 2);
  await sleep(ms * 0.15);
  await startRollout(product);
  await sleep(ms * 0.05);
  fleet.setTrouble(PRESENT_TROUBLE);
  await sleep(ms * 0.1 + TROUBLE_MS);
}

async function photograph(browser: Browser, { api, token }: Product, scene: Scene): Promise<void> {
  for (const [language, locale] of LANGUAGES) {
    for (const theme of THEMES) {
      const context = await browser.newContext({ viewport: SIZE, locale, colorScheme: theme, reducedMotion: "reduce" });
      await context.request.post(`${api}/ui/api/session`, { data: { token } });
      const page = await context.newPage();
      page.setDefaultTimeout(PATIENCE_MS);
      await page.goto(api + scene.path);
      await page.locator(scene.shows).first().waitFor();
      await scene.before?.(page);
      // Charts and graphs draw after their data has arrived.
      await sleep(1_500);
      const png = smallPng(await page.screenshot());
      await context.close();
      if (png.length > BYTES_MAX) throw new Error(`${scene.name} has ${png.length} bytes of ${BYTES_MAX}`);
      writeFileSync(join(TARGET, `${scene.name}.${language}.${theme}.png`), png);
      console.log(`${scene.name}.${language}.${theme}.png ${Math.round(png.length / 1000)} kB`);
    }
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function browserPath(): string {
  const path = values.chromium ?? process.env["CHROMIUM"] ?? "/usr/bin/chromium";
  if (existsSync(path)) return path;
  throw new Error(`No browser at ${path}. Install Debian's chromium, or name one: npm run pictures -- --chromium PATH`);
}

await using stack = new AsyncDisposableStack();
const executablePath = browserPath();
mkdirSync(TARGET, { recursive: true });
await buildConsole();
const product = await startProduct(stack);
await releaseConfigs(product, 0);
const fleet = stack.use(await startFleet(product));
const stop = new AbortController();
stack.defer(() => stop.abort());
void sendTraffic(product.gateway, REQUESTS_PER_SECOND, stop.signal);
console.log(`the shop runs for ${values.minutes} minutes`);
await runShop(product, fleet, Number(values.minutes) * 60_000);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
stack.defer(() => browser.close());
for (const scene of SCENES)
  if (values.only === undefined || values.only === scene.name) await photograph(browser, product, scene);
