/** The tree of collected logs: files that follow each other, limits over restarts, and appends that fail. */
import { appendFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { LogTree, type TreeLine } from "../../../agent/service-logs/log-tree.ts";
import { tempFolder } from "#test/kit";

const nowMs = Date.parse("2026-03-10T12:00:00Z");
const DAY_MS = 86_400_000;
const FOLDER = "2026-03-10/orders/orders-1";
const line = (text: string, level: TreeLine["level"] = "info"): TreeLine => ({
  timeMs: nowMs,
  service: "orders",
  instance: "orders-1",
  level,
  text,
});

async function write(tree: LogTree, lines: TreeLine[], atMs = nowMs): Promise<boolean> {
  const isNew = await tree.prepare(lines, atMs);
  await tree.append(lines, atMs);
  return isNew;
}

test("a full file is followed by the next one, also after a restart, and a new file is announced first", async () => {
  await using folder = await tempFolder();
  const tree = new LogTree(folder.path, 40);
  expect(await write(tree, [line("one")])).toBe(true);
  expect(await write(tree, [line("two")])).toBe(false);
  expect(await write(tree, [line("three")])).toBe(true);
  expect([...tree.open.keys()]).toEqual([`${FOLDER}/info.1.log`]);
  const later = new LogTree(folder.path, 40);
  await later.restore(Object.fromEntries(tree.open));
  expect(await write(later, [line("four")])).toBe(false);
  expect(await readFile(join(folder.path, FOLDER, "info.1.log"), "utf8")).toBe(
    "2026-03-10T12:00:00.000Z three\n2026-03-10T12:00:00.000Z four\n",
  );
  // Without its state a tree continues none of the files that are there.
  const lost = new LogTree(folder.path, 40);
  await write(lost, [line("five")]);
  expect((await readdir(join(folder.path, FOLDER))).toSorted()).toEqual(["info.1.log", "info.2.log", "info.log"]);
});

test("a new day has new files, and the limits hold over restarts", async () => {
  await using folder = await tempFolder();
  for (let day = 0; day < 5; day++) {
    const tree = new LogTree(folder.path);
    await write(tree, [line("text")], nowMs + day * DAY_MS);
    await tree.sweep({ bytesMax: 1000, keepDays: 3 }, nowMs + day * DAY_MS);
  }
  expect((await readdir(folder.path)).toSorted()).toEqual(["2026-03-12", "2026-03-13", "2026-03-14"]);
  await new LogTree(folder.path).sweep({ bytesMax: 35, keepDays: 3 }, nowMs + 4 * DAY_MS);
  expect(await readdir(folder.path)).toEqual(["2026-03-14"]);
});

test("a batch that fails for one file is in none, and is there once after it is repeated", async () => {
  await using folder = await tempFolder();
  const tree = new LogTree(folder.path);
  await write(tree, [line("before")]);
  const batch = [line("one"), line("two", "warn")];
  await mkdir(join(folder.path, FOLDER, "warn.log"));
  await tree.prepare([line("one")], nowMs);
  await tree.prepare(batch, nowMs);
  const blocked = [...tree.open.keys()].find((path) => path.includes("warn")) ?? "";
  await mkdir(join(folder.path, blocked));
  await expect(tree.append(batch, nowMs)).rejects.toMatchObject({ code: "EISDIR" });
  const info = () => readFile(join(folder.path, FOLDER, "info.log"), "utf8");
  expect((await info()).match(/ .*/g)).toEqual([" before"]);
  await rm(join(folder.path, blocked), { recursive: true });
  await tree.append(batch, nowMs);
  expect((await info()).match(/ .*/g)).toEqual([" before", " one"]);
  expect(await readFile(join(folder.path, blocked), "utf8")).toContain(" two\n");
});

test("a file that was emptied, extended or removed meanwhile gets the next lines without a gap", async () => {
  await using folder = await tempFolder();
  const tree = new LogTree(folder.path);
  const path = join(folder.path, FOLDER, "info.log");
  await write(tree, [line("one")]);
  await writeFile(path, "");
  await write(tree, [line("two")]);
  expect(await readFile(path, "utf8")).toBe("2026-03-10T12:00:00.000Z two\n");
  await appendFile(path, "a part of an interrupted write");
  await write(tree, [line("three")]);
  await rm(path);
  await write(tree, [line("four")]);
  expect(await readFile(path, "utf8")).toBe("2026-03-10T12:00:00.000Z four\n");
});
