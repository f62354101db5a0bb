/** Folders as the program reads and writes them: nothing is followed out of them, and nothing else in them is touched. */
import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { unzipSync } from "fflate";
import { expect, test } from "vitest";
import { TRANSFER_FILE_BYTES_MAX } from "#config-server/api";
import { tempFolder, withControl } from "#test/kit";
import { readImport, writeFolder, writeZipFile } from "../../cli/config-files.ts";
import { releaseTexts, writeFiles, zipOf } from "./transfer-kit.ts";

const ORDERS = { namespace: "default", app: "orders", profile: "default" };

async function* whole(zip: Uint8Array): AsyncGenerator<Uint8Array> {
  yield zip;
}

test("a folder becomes a zip of its files, without dot files", async () => {
  await using folder = await tempFolder();
  await writeFiles(folder.path, { "default/a/default/k.txt": "x", ".git/config": "no", "default/.hidden": "no" });
  const files = unzipSync(await readImport(folder.path));
  expect(Object.keys(files)).toEqual(["default/a/default/k.txt"]);
});

test("a link in a folder, a file that is too large and an invalid path are refused by name", async () => {
  await using folder = await tempFolder();
  await expect(readImport(join(folder.path, "none"))).rejects.toMatchObject({
    code: "CLI_FILE_UNREADABLE",
    message: expect.stringContaining("none") as string,
  });
  await writeFile(join(folder.path, "large.txt"), "x".repeat(TRANSFER_FILE_BYTES_MAX + 1));
  await expect(readImport(folder.path)).rejects.toMatchObject({
    code: "CONFIG_ZIP_TOO_LARGE",
    message: expect.stringContaining("large.txt") as string,
  });
  await using other = await tempFolder();
  await symlink("/etc/passwd", join(other.path, "k.txt"));
  await expect(readImport(other.path)).rejects.toMatchObject({ code: "CONFIG_ZIP_INVALID", extra: { entry: "k.txt" } });
});

test("an export into the folder of an earlier one removes files of removed keys, and leaves foreign files", async () => {
  await using folder = await tempFolder();
  await using control = await withControl();
  await releaseTexts(control, ORDERS, { "a.txt": "one", "b.txt": "two" });
  const out = join(folder.path, "out");
  expect(await writeFolder(out, control.client.config.exportSets())).toBe(2);
  await writeFiles(out, { ".git/HEAD": "kept", "NOTES.md": "kept" });
  await releaseTexts(control, ORDERS, { "a.txt": "uno" });
  expect(await writeFolder(out, control.client.config.exportSets())).toBe(1);
  expect(await readdir(join(out, "default/orders/default"))).toEqual(["a.txt"]);
  expect((await readdir(out)).sort()).toEqual([".git", "NOTES.md", "_manifest.json", "default"]);
  expect((await stat(join(out, "default/orders/default/a.txt"))).mode & 0o077, "only the owner can read it").toBe(0);
  const again = await control.client.config.importZip(await readImport(out), { mode: "release" });
  expect(again).toMatchObject({ sets: [{ outcome: "unchanged" }], ignored: ["NOTES.md"] });
});

test("an export does not write into a folder that holds something else, nor outside of it", async () => {
  await using folder = await tempFolder();
  const zip = zipOf({ "../out.txt": "x" });
  await expect(writeFolder(join(folder.path, "new"), whole(zip))).rejects.toMatchObject({ code: "CONFIG_ZIP_INVALID" });
  await mkdir(join(folder.path, "used"));
  await writeFile(join(folder.path, "used/mine.txt"), "mine");
  await expect(writeFolder(join(folder.path, "used"), whole(zipOf({ "a.txt": "x" })))).rejects.toMatchObject({
    code: "CLI_FOLDER_NOT_EMPTY",
    message: expect.stringContaining("--out") as string,
  });
  expect((await readdir(folder.path)).sort()).toEqual(["new", "used"]);
});

test("an export that is cut leaves the file of an earlier one as it was", async () => {
  await using folder = await tempFolder();
  const path = join(folder.path, "config.zip");
  await writeZipFile(path, whole(zipOf({ "a.txt": "x" })));
  const before = await readFile(path);
  async function* cut(): AsyncGenerator<Uint8Array> {
    yield before.subarray(0, 10);
    throw new Error("cut");
  }
  await expect(writeZipFile(path, cut())).rejects.toThrow("cut");
  expect(await readdir(folder.path)).toEqual(["config.zip"]);
  expect(Buffer.compare(await readFile(path), before)).toBe(0);
});
