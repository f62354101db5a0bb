/** A service with ten thousand instances in a browser: only what is visible is drawn, and one change does not read megabytes at once. */
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BATCH_MAX, INSTANCES_PER_SERVICE_MAX } from "#registry/api";
import { hasBrowser, startConsole, type TestConsole } from "./kit.ts";

const COUNT = INSTANCES_PER_SERVICE_MAX;
const LAST = `many-${COUNT - 1}`;
/** Rows that fit a window, with those drawn ahead. */
const ROWS_MAX = 100;
const REGISTRATION = { address: "10.0.0.9", port: 9000, zone: "eu-1", version: "1.4.0" };

/** Steps within which the end is reached: 40 of a screen, 20 leaps, and as many again in case that the rows' heights move it. */
const STEPS_MAX = 120;
/** Milliseconds that a step waits for the browser to draw. A browser that draws nothing for a while must not hang the test. */
const FRAME_MS_MAX = 1_000;

interface Scrolled {
  /** The most rows that were in the document. */
  readonly most: number;
  readonly steps: number;
  /** Steps for which the browser drew nothing in time. */
  readonly undrawn: number;
}

/** Scrolls to the end, a screen per frame at first and then in leaps. */
const SCROLL = `(async () => {
  const area = document.querySelector(".scroller");
  const result = { most: 0, steps: 0, undrawn: 0 };
  const drawn = () => new Promise((resolve) => {
    requestAnimationFrame(() => requestAnimationFrame(() => resolve(true)));
    setTimeout(() => resolve(false), ${FRAME_MS_MAX});
  });
  while (area.scrollTop + area.clientHeight < area.scrollHeight - 1 && result.steps < ${STEPS_MAX}) {
    area.scrollTop += result.steps < 40 ? area.clientHeight : area.scrollHeight / 20;
    if (!(await drawn())) result.undrawn++;
    result.most = Math.max(result.most, document.querySelectorAll(".line").length);
    result.steps++;
  }
  return result;
})()`;

describe.runIf(hasBrowser)("ten thousand instances", () => {
  let site: TestConsole;
  beforeAll(async () => {
    site = await startConsole();
    const ids = Array.from({ length: COUNT }, (_, index) => `many-${index}`);
    for (let at = 0; at < COUNT; at += BATCH_MAX) {
      const instances = ids
        .slice(at, at + BATCH_MAX)
        .map((id) => ({ service: "many", id, registration: REGISTRATION }));
      const { status } = await site.control.call("POST", "/v1/batches", { instances });
      expect(status).toBeLessThan(300);
    }
  }, 300_000);
  afterAll(() => site[Symbol.asyncDispose]());

  const rows = (page: Page) => page.locator(".line").count();
  const tasks = (page: Page) => page.evaluate<readonly number[]>("self.longTasks");

  test("they are shown, scrolled to the end and filtered with few rows in the document", async () => {
    const page = await site.openSignedOut("/ui/");
    await page.addInitScript(`self.longTasks = [];
      new PerformanceObserver((list) => self.longTasks.push(...list.getEntries().map(({ duration }) => duration)))
        .observe({ type: "longtask", buffered: true });`);
    await page.request.post(`${site.base}/ui/api/session`, { data: { token: site.control.token } });
    await page.goto(`${site.base}/ui/services/many?sort=name`);
    await page.getByText("10,000 instances").waitFor();
    expect(await rows(page)).toBeLessThan(ROWS_MAX);
    const shown = await tasks(page);
    const { most, steps, undrawn } = await page.evaluate<Scrolled>(SCROLL);
    expect(steps, "the end of the list was not reached").toBeLessThan(STEPS_MAX);
    await page.getByText(LAST, { exact: true }).waitFor();
    expect(most).toBeLessThan(ROWS_MAX);
    const scrolled = (await tasks(page)).slice(shown.length);
    await page.getByRole("searchbox").fill("many-77");
    await page
      .getByText("many-7799", { exact: true })
      .or(page.getByText("many-77", { exact: true }))
      .first()
      .waitFor();
    await expect.poll(() => page.locator("main").innerText(), { timeout: 60_000 }).toMatch(/111 of 10,000/);
    const filtered = (await tasks(page)).slice(shown.length + scrolled.length);
    console.log("long tasks in ms:", { shown, scrolled, filtered }, { steps, undrawn });
    expect(await rows(page)).toBeLessThan(ROWS_MAX);
  });

  test("changes of one instance read the list at most once per second, and the last one is shown", async () => {
    const page = await site.open("/ui/services/many?sort=name&filter=many-42");
    await page.getByText("many-42", { exact: true }).waitFor();
    const reads: number[] = [];
    page.on("request", (request) => {
      if (/\/services\/many\/instances\?/.test(request.url())) reads.push(performance.now());
    });
    const startedAt = performance.now();
    let changes = 0;
    let weight = 0;
    while (performance.now() - startedAt < 4_000) {
      const name = { namespace: "default", service: "many", id: "many-42" };
      changes += 1;
      // A fast machine makes more changes than there are weights.
      weight = (changes % 1_000) + 1;
      await site.control.client.registry.setWeight(name, { weight });
    }
    const row = page.getByRole("row").filter({ has: page.getByText("many-42", { exact: true }) });
    await expect.poll(() => row.innerText(), { timeout: 60_000 }).toContain(`${weight}`);
    console.log("reads of the list:", reads.length, "changes:", changes);
    expect(reads.length).toBeGreaterThan(0);
    for (const [index, at] of reads.entries()) {
      if (index > 0) expect(at - (reads[index - 1] ?? 0)).toBeGreaterThan(1_000);
    }
  });
});
