/** The guide's examples are what is run here, against a real process. */
import { readFile } from "node:fs/promises";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";
import { expect, test } from "vitest";
import { eventually, followGuide, projectRoot, startPosthouse, tempFolder, withControl } from "#test/kit";

const guide = () => readFile(join(projectRoot, "docs/guides/locks.md"), "utf8");

test("the guide's commands answer as it says", { timeout: 300_000 }, async () => {
  await using data = await tempFolder();
  await using posthouse = await startPosthouse({ data: data.path });
  expect(await followGuide("locks.md", { posthouse, data: data.path })).toBe(7);
});

test("the program of the guide leads until its lock is broken, and lets go", async () => {
  await using control = await withControl();
  const source = /```ts\n([\s\S]*?)```/.exec(await guide())?.[1] ?? "";
  const AsyncFunction = (async () => {}).constructor as new (
    ...parts: string[]
  ) => (...args: unknown[]) => Promise<void>;
  const program = new AsyncFunction("client", "lead", stripTypeScriptTypes(source));
  const led: { until: AbortSignal; token: number }[] = [];
  const ref = { namespace: "default", name: "orders/leader" };
  const done = program(control.client, async (lead: { until: AbortSignal; token: number }) => {
    led.push(lead);
    await eventually("the lead is lost", () => lead.until.aborted);
  });
  const holder = await eventually("it leads", async () => (await control.client.locks.get(ref)).holder);
  expect(holder.value).toBe("10.0.0.1:80");
  await control.client.locks.break(ref, { reason: "enough" });
  await done;
  expect(led.map(({ token }) => token)).toEqual([holder.token]);
});

test("the guide's statement refuses a token that is not the largest", async () => {
  const { DatabaseSync } = await import("node:sqlite");
  const statement = /```sql\n([\s\S]*?)```/.exec(await guide())?.[1] ?? "";
  using database = new DatabaseSync(":memory:");
  database.exec("CREATE TABLE report (id, body, fence); INSERT INTO report VALUES (7, 'old', 1)");
  const update = database.prepare(statement.replaceAll("$", "?"));
  const body = (text: string, fence: number) => Number(update.run(text, fence).changes);
  expect([body("second", 5), body("first, late", 4), body("second, again", 5)]).toEqual([1, 0, 1]);
});
