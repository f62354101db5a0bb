/** Which collected files are deleted. */
import { expect, test } from "vitest";
import { filesToDelete, type TreeFile } from "../../../../agent/service-logs/core/retention.ts";

const nowMs = Date.parse("2026-03-10T12:00:00Z");
const file = (path: string, bytes: number, changedAtMs = 0): TreeFile => ({ path, bytes, changedAtMs });
const deleted = (files: TreeFile[], bytesMax: number, open: string[] = []) =>
  filesToDelete(files, { limits: { bytesMax, keepDays: 3 }, nowMs, isOpen: (path) => open.includes(path) }).map(
    ({ path }) => path,
  );

test("days beyond the limit are deleted, whatever their size", () => {
  const days = ["2026-03-07", "2026-03-08", "2026-03-10", "2026-02-28"].map((day) => file(`${day}/a/b/info.log`, 1));
  expect(deleted(days, 100)).toEqual(["2026-02-28/a/b/info.log", "2026-03-07/a/b/info.log"]);
});

test("beyond the size the oldest are deleted, as many as needed", () => {
  const files = [
    file("2026-03-10/a/b/info.1.log", 40, 2),
    file("2026-03-10/a/b/info.log", 40, 1),
    file("2026-03-09/z/b/info.log", 40, 9),
  ];
  expect(deleted(files, 120)).toEqual([]);
  expect(deleted(files, 100)).toEqual(["2026-03-09/z/b/info.log"]);
  expect(deleted(files, 79)).toEqual(["2026-03-09/z/b/info.log", "2026-03-10/a/b/info.log"]);
});

test("a file that is being written stays", () => {
  const files = [file("2026-03-01/a/b/info.log", 40), file("2026-03-10/a/b/info.log", 40)];
  expect(deleted(files, 10, ["2026-03-01/a/b/info.log"])).toEqual(["2026-03-10/a/b/info.log"]);
});
